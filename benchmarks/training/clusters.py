"""How well clusters of embeddings agree with classes: NMI and AMI."""

import faiss
import numpy as np
from pytorch_metric_learning.utils.inference import FaissKMeans
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score
from torch import Tensor

ITERATIONS = 20  # of k-means, as in PML


def cluster_agreement(embeddings: Tensor, labels: Tensor, seed: int = 0) -> dict[str, float]:
    """The normalised ("nmi") and the adjusted ("ami") mutual information of classes and k-means clusters.

    As in PML, there are as many clusters as classes; unlike there, they start from seeded rows.

    Args:
        embeddings: (N, D), normalised as for retrieval.
        labels: (N,).
        seed: of the rows that the clusters start from.

    Returns:
        "nmi" from 0 to 1 and "ami" up to 1, which is 0 on average for clusters that know nothing of the classes.

    Example:
        >>> import torch
        >>> cluster_agreement(torch.eye(2).repeat(4, 1), torch.arange(8) % 2)
        {'nmi': 1.0, 'ami': 1.0}
    """
    search = FaissKMeans(
        niter=ITERATIONS,
        seed=seed,
        min_points_per_centroid=1,  # faiss warns of classes with few images, but clusters them alike
        gpu=embeddings.is_cuda and bool(faiss.get_num_gpus()),
    )
    found: np.ndarray = search(embeddings.float(), len(labels.unique())).cpu().numpy()
    classes: np.ndarray = labels.cpu().numpy()
    return {
        "nmi": float(normalized_mutual_info_score(classes, found)),
        "ami": float(adjusted_mutual_info_score(classes, found)),
    }
