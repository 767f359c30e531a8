"""A distance that answers with a matrix made beforehand."""

from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor


class PrecomputedDistance(BaseDistance):
    """A given matrix wherever another distance's matrix is asked for; everything else is that distance's own.

    Losses and miners write into the matrix that they get (MultiSimilarityMiner, BatchEasyHardMiner, NCALoss), so
    each call hands out its own copy.

    Args:
        distance: the distance it stands in for; gives direction, power, norm and pairwise distances.
        matrix: (N, R), the distances between the rows that the loss or miner will ask about.

    Attributes:
        was_asked: whether the matrix has been handed out.

    Raises:
        ValueError: when asked about another number of rows or columns than the matrix has.

    Example:
        >>> import torch
        >>> from pytorch_metric_learning.distances import LpDistance
        >>> PrecomputedDistance(LpDistance(), torch.zeros(2, 2))(torch.eye(2)).tolist()
        [[0.0, 0.0], [0.0, 0.0]]
    """

    def __init__(self, distance: BaseDistance, matrix: Tensor) -> None:
        super().__init__(
            normalize_embeddings=distance.normalize_embeddings,
            p=distance.p,
            power=distance.power,
            is_inverted=distance.is_inverted,
            collect_stats=False,
        )
        self.distance = distance
        self.matrix = matrix
        self.was_asked = False

    def forward(self, query_emb: Tensor, ref_emb: Tensor | None = None) -> Tensor:
        asked = (len(query_emb), len(query_emb if ref_emb is None else ref_emb))
        if asked != self.matrix.shape:
            raise ValueError(
                f"the loss or miner asked for the distances of {asked[0]} to {asked[1]} rows, but the matrix made for "
                f"this batch is {tuple(self.matrix.shape)}: it does not compare the batch with itself (or with "
                "ref_emb), so it cannot be handed a matrix"
            )
        self.was_asked = True
        return self.matrix.clone()

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        return self.distance.compute_mat(query_emb, ref_emb)

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        return self.distance.pairwise_distance(query_emb, ref_emb)
