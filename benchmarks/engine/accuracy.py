"""PML's accuracies plus Recall@K, and the same scores query by query."""

from typing import Any

import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from torch import Tensor

RECALL_AT = (1, 2, 4, 8)
PER_QUERY = ("precision_at_1", "r_precision", "mean_average_precision_at_r")
METRICS = (*PER_QUERY, *(f"recall_at_{k}" for k in RECALL_AT))


class RetrievalAccuracy(AccuracyCalculator):
    """The calculator of all :data:`METRICS`, every query against all other images.

    Recall@K is the share of queries with at least one image of their class among their K nearest.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(include=METRICS, k="max_bin_count", **kwargs)

    def determine_k(self, bin_counts: Tensor, num_reference_embeddings: int, ref_includes_query: bool) -> int:
        k = super().determine_k(bin_counts, num_reference_embeddings, ref_includes_query)
        return min(max(k, *RECALL_AT), num_reference_embeddings - int(ref_includes_query))

    def calculate_recall_at_1(self, **kwargs: Any) -> float:
        return recall_at(1, **kwargs)

    def calculate_recall_at_2(self, **kwargs: Any) -> float:
        return recall_at(2, **kwargs)

    def calculate_recall_at_4(self, **kwargs: Any) -> float:
        return recall_at(4, **kwargs)

    def calculate_recall_at_8(self, **kwargs: Any) -> float:
        return recall_at(8, **kwargs)


def recall_at(k: int, knn_labels: Tensor, query_labels: Tensor, not_lone_query_mask: Tensor, **_: Any) -> float:
    """Share of the queries, those without any other image of their class left out, with a hit among the first k."""
    hits = (knn_labels == query_labels[:, None])[not_lone_query_mask, :k].any(dim=1)
    return hits.double().mean().item()


def query_scores(neighbor_labels: Tensor, labels: Tensor, searched: Tensor | None = None) -> dict[str, Tensor]:
    r"""The terms whose means PML reports, one per query.

    With hits h_k in {0, 1} at rank k and R images of the query's class to find:

    .. math:: P@1 = h_1, \quad RP = \frac1R \sum_{k \le R} h_k, \quad
        MAP@R = \frac1R \sum_{k \le R} h_k \frac1k \sum_{j \le k} h_j

    Args:
        neighbor_labels: of each query's neighbours, nearest first, the query itself left out; K at least every R.
        labels: of the queries.
        searched: labels of the images searched, at least one of each query's class; None where those are the queries
            themselves, each left out for itself.

    Shapes:
        (Q, K), (Q,), (S,) -> three times (Q,), float64

    Example:
        >>> neighbor_labels = torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 0, 1], [1, 0, 0]])
        >>> scores = query_scores(neighbor_labels, torch.tensor([0, 0, 0, 1, 1]))
        >>> scores["mean_average_precision_at_r"].tolist()
        [0.5, 0.25, 1.0, 1.0, 1.0]
    """
    counts = (labels if searched is None else searched).bincount(minlength=int(labels.max()) + 1)
    relevant = counts[labels] - int(searched is None)
    rank = torch.arange(1, neighbor_labels.shape[1] + 1, device=labels.device)
    hits = (neighbor_labels == labels[:, None]).double()
    within = hits * (rank <= relevant[:, None])
    return {
        "precision_at_1": hits[:, 0],
        "r_precision": within.sum(dim=1) / relevant,
        "mean_average_precision_at_r": (within * within.cumsum(dim=1) / rank).sum(dim=1) / relevant,
    }
