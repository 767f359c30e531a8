"""PML's accuracies and Recall@K, averaged and per query, in one pass over the neighbours."""

from typing import NamedTuple

import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from torch import Tensor

from ..runs.schema import METRICS, RECALL_AT
from .neighbors import ExactNeighbors, Neighbors

AT_ONCE = 2**20  # neighbours that are scored at a time


class Retrieved(NamedTuple):
    """Neighbours and scores of each query."""

    neighbors: Tensor  # (Q, K), long: positions in the searched images, nearest first
    scores: dict[str, Tensor]  # all METRICS, (Q,), float64; NaN for a query without another image of its class


class RetrievalAccuracy(AccuracyCalculator):
    """Calculates all :data:`METRICS`, without PML's loops over classes and its matrix of classes by images.

    PML's three scores agree with PML's to the last digit: the same terms are summed in the same order. Recall@K is the
    fraction of queries with at least one image of their class among their K nearest neighbours.

    Args:
        device: of the calculation; None for CUDA if available, as in PML.
        neighbors: PML's ``knn_func``, which finds the nearest images.

    Attributes:
        retrieved: of the last call.
    """

    retrieved: Retrieved

    def __init__(self, device: torch.device | None = None, neighbors: Neighbors | None = None) -> None:
        super().__init__(
            include=METRICS,
            k="max_bin_count",
            device=device,
            knn_func=ExactNeighbors() if neighbors is None else neighbors,
        )

    def get_accuracy(
        self,
        query: Tensor,
        query_labels: Tensor,
        reference: Tensor | None = None,
        reference_labels: Tensor | None = None,
        ref_includes_query: bool = False,
        include: tuple[str, ...] = (),
        exclude: tuple[str, ...] = (),
    ) -> dict[str, float]:
        """The mean of each score over the queries with another image of their class.

        Args:
            query: (Q, D).
            query_labels: (Q,), integers.
            reference: searched images, (R, D); None for the queries themselves, where no query finds itself.
            reference_labels: (R,).
            ref_includes_query: whether the reference starts with the queries, and no query finds itself.
            include: scores to return; all if empty.
            exclude: scores to leave out.
        """
        if reference is None or reference_labels is None:
            reference, reference_labels, ref_includes_query = query, query_labels, True
        query, query_labels, reference, reference_labels = (
            tensor.to(self.device) for tensor in (query, query_labels, reference, reference_labels)
        )
        for name, embeddings, labels in (("query", query, query_labels), ("reference", reference, reference_labels)):
            if len(embeddings) != len(labels):
                raise ValueError(f"{name} has {len(embeddings)} embeddings, but {len(labels)} labels: expected as many")
        if ref_includes_query and not torch.equal(reference[: len(query)], query):
            raise ValueError("reference must begin with the queries, in their order, if ref_includes_query is True")
        relevant = relevant_counts(query_labels, reference_labels, ref_includes_query)
        k = min(max(int(relevant.max()), *RECALL_AT), len(reference) - int(ref_includes_query))
        _, neighbors = self.knn_func(query, k, reference, ref_includes_query)
        self.retrieved = Retrieved(neighbors, query_scores(neighbors, query_labels, reference_labels, relevant))
        return self._get_accuracy(self.get_function_dict(include, exclude), scored=relevant > 0)

    def mean(self, name: str, scored: Tensor) -> float:
        return self.retrieved.scores[name][scored].mean().item()

    def calculate_precision_at_1(self, scored: Tensor) -> float:
        return self.mean("precision_at_1", scored)

    def calculate_r_precision(self, scored: Tensor) -> float:
        return self.mean("r_precision", scored)

    def calculate_mean_average_precision_at_r(self, scored: Tensor) -> float:
        return self.mean("mean_average_precision_at_r", scored)

    def calculate_recall_at_1(self, scored: Tensor) -> float:
        return self.mean("recall_at_1", scored)

    def calculate_recall_at_2(self, scored: Tensor) -> float:
        return self.mean("recall_at_2", scored)

    def calculate_recall_at_4(self, scored: Tensor) -> float:
        return self.mean("recall_at_4", scored)

    def calculate_recall_at_8(self, scored: Tensor) -> float:
        return self.mean("recall_at_8", scored)


def relevant_counts(query_labels: Tensor, reference_labels: Tensor, ref_includes_query: bool) -> Tensor:
    """Number of images of its class that each query can find, without itself.

    Example:
        >>> relevant_counts(torch.tensor([3, 5, 4]), torch.tensor([5, 3, 5]), ref_includes_query=False)
        tensor([1, 2, 0])
    """
    classes, counts = reference_labels.unique(return_counts=True)
    place = torch.searchsorted(classes, query_labels).clamp(max=len(classes) - 1)
    return torch.where(classes[place] == query_labels, counts[place], 0) - int(ref_includes_query)


def query_scores(
    neighbors: Tensor, query_labels: Tensor, reference_labels: Tensor, relevant: Tensor
) -> dict[str, Tensor]:
    r"""All :data:`METRICS` of each query; their means are the scores of PML.

    With hits h_k in {0, 1} at rank k and R images of the query's class to find:

    .. math:: P@1 = h_1, \quad RP = \frac1R \sum_{k \le R} h_k, \quad
        MAP@R = \frac1R \sum_{k \le R} h_k \frac1k \sum_{j \le k} h_j, \quad Recall@K = \max_{k \le K} h_k

    Args:
        neighbors: positions in the searched images, nearest first; at least as many as the largest R.
        relevant: R of each query.

    Shapes:
        (Q, K), (Q,), (R,), (Q,) -> each (Q,), float64; NaN where R is 0

    Example:
        >>> labels = torch.tensor([0, 0, 0, 1, 1])
        >>> neighbors = torch.tensor([[1, 3, 2], [3, 0, 2], [0, 1, 3], [4, 0, 1], [3, 1, 2]])
        >>> scores = query_scores(neighbors, labels, labels, torch.tensor([2, 2, 2, 1, 1]))
        >>> scores["mean_average_precision_at_r"].tolist()
        [0.5, 0.25, 1.0, 1.0, 1.0]
    """
    # as many columns as in PML, since the rounding of a sum depends on its length
    within = max(1, int(relevant.max()))
    rank = torch.arange(1, within + 1, device=neighbors.device)
    parts = []
    rows = max(2, AT_ONCE // neighbors.shape[1])
    for found, labels, count in zip(*(t.split(rows) for t in (neighbors, query_labels, relevant)), strict=True):
        hits = reference_labels[found] == labels[:, None]
        counted = hits[:, :within] * (rank <= count[:, None])
        precision = (counted.cumsum(dim=1) * counted).double() / rank
        parts.append(
            [
                hits[:, 0].double(),
                counted.sum(dim=1).double() / count,
                precision.sum(dim=1) / count,
                *(hits[:, :k].any(dim=1).double() for k in RECALL_AT),
            ]
        )
    columns = (torch.cat(column) for column in zip(*parts, strict=True))
    return {name: column.where(relevant > 0, torch.nan) for name, column in zip(METRICS, columns, strict=True)}
