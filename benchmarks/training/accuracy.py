"""PML's accuracies and Recall@K, averaged and per query, in one pass over the neighbours."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from torch import Tensor

from ..runs.schema import PER_QUERY, RECALL_AT
from .first_match import first_match_ranks
from .neighbors import ExactNeighbors, Neighbors

AT_ONCE = 2**20  # neighbours that are scored at a time
LISTED = 64  # Recall@K for larger K counts the images before the first match, which is cheaper than a list of K
HELD = 2**25  # neighbours that are listed at a time: 0.3 GB of indices, and four times as much while they are searched
KEPT = 8  # of each query's neighbours, where not all are listed at a time
BEYOND = 2**62  # rank of the first match where the listed neighbours have none


class Retrieved(NamedTuple):
    """Neighbours and scores of each query."""

    neighbors: Tensor  # (Q, K), long: positions in the searched images, nearest first; K is KEPT if Q is very large
    scores: dict[str, Tensor]  # all metrics, (Q,), float64; NaN for a query without another image of its class


class RetrievalAccuracy(AccuracyCalculator):
    """Calculates PML's three scores and Recall@K, without PML's loops over classes and its matrix of classes by images.

    PML's three scores agree with PML's to the last digit: the same terms are summed in the same order. Recall@K is the
    fraction of queries with at least one image of their class among their K nearest neighbours.

    Memory grows with the images, but not with the size of a class: where the lists of neighbours of all queries would
    be too large (:data:`HELD`), a part of the queries is searched and scored at a time, with the same numbers.

    Args:
        device: of the calculation; None for CUDA if available, as in PML.
        neighbors: finds the nearest images.
        recall_at: the K of Recall@K.

    Attributes:
        retrieved: of the last call.
    """

    retrieved: Retrieved

    def __init__(
        self,
        device: torch.device | None = None,
        neighbors: Neighbors | None = None,
        recall_at: Sequence[int] = RECALL_AT,
    ) -> None:
        self.recall_at = tuple(recall_at)
        names = (*PER_QUERY, *(f"recall_at_{k}" for k in self.recall_at))
        for name in names:  # PML finds the metrics by the names of attributes
            setattr(self, f"calculate_{name}", partial(self.mean, name))
        super().__init__(
            include=names,
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
        listed = (k for k in self.recall_at if k <= LISTED)
        k = min(max(int(relevant.max()), 1, *listed), len(reference) - int(ref_includes_query))
        within = max(1, int(relevant.max()))
        parts, shown = [], []
        rows = max(1, HELD // k)
        for start in range(0, len(query), rows):
            some = slice(start, start + rows)
            first = start if ref_includes_query else None
            neighbors = self.knn_func.among(query[some], k, reference, first)[1]
            parts.append(query_scores(neighbors, query_labels[some], reference_labels, relevant[some], within))
            shown.append(neighbors if len(query) <= rows else neighbors[:, :KEPT].clone())
            del neighbors  # before the next are searched
        scores = {name: torch.cat([part[name] for part, _ in parts]) for name in PER_QUERY}
        ranks = torch.cat([part for _, part in parts])
        missed = torch.where((ranks == BEYOND) & (relevant > 0))[0]
        if max(self.recall_at) > k and len(missed):
            searched = query[missed], query_labels[missed], reference, reference_labels
            found = first_match_ranks(*searched, missed if ref_includes_query else None)
            ranks[missed] = found.clamp(min=k + 1)
        recalls = {f"recall_at_{n}": (ranks <= n).double().where(relevant > 0, torch.nan) for n in self.recall_at}
        self.retrieved = Retrieved(torch.cat(shown), scores | recalls)
        return self._get_accuracy(self.get_function_dict(include, exclude), scored=relevant > 0)

    def mean(self, name: str, scored: Tensor) -> float:
        """The mean of a score over the queries that count."""
        return self.retrieved.scores[name][scored].mean().item()


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
    neighbors: Tensor, query_labels: Tensor, reference_labels: Tensor, relevant: Tensor, within: int
) -> tuple[dict[str, Tensor], Tensor]:
    r"""The scores :data:`PER_QUERY` of each query, whose means are PML's, and the rank of its first match.

    With hits h_k in {0, 1} at rank k and R images of the query's class to find:

    .. math:: P@1 = h_1, \quad RP = \frac1R \sum_{k \le R} h_k, \quad
        MAP@R = \frac1R \sum_{k \le R} h_k \frac1k \sum_{j \le k} h_j, \quad \text{first match} = \min \{k : h_k = 1\}

    Args:
        neighbors: positions in the searched images, nearest first; at least as many as the largest R.
        relevant: R of each query.
        within: number of terms that are summed, at least the largest R; as many as in PML, since the rounding of a sum
            depends on its length.

    Shapes:
        (Q, K), (Q,), (R,), (Q,) -> each (Q,), float64, NaN where R is 0; and (Q,), long, BEYOND where there is none

    Example:
        >>> labels = torch.tensor([0, 0, 0, 1, 1])
        >>> neighbors = torch.tensor([[1, 3, 2], [3, 0, 2], [0, 1, 3], [4, 0, 1], [3, 1, 2]])
        >>> scores, ranks = query_scores(neighbors, labels, labels, torch.tensor([2, 2, 2, 1, 1]), within=2)
        >>> scores["mean_average_precision_at_r"].tolist(), ranks.tolist()
        ([0.5, 0.25, 1.0, 1.0, 1.0], [1, 2, 1, 1, 1])
    """
    rank = torch.arange(1, within + 1, device=neighbors.device)
    parts, ranks = [], []
    rows = max(2, AT_ONCE // neighbors.shape[1])
    for found, labels, count in zip(*(t.split(rows) for t in (neighbors, query_labels, relevant)), strict=True):
        hits = reference_labels[found] == labels[:, None]
        ranks.append(torch.where(hits.any(dim=1), hits.byte().argmax(dim=1) + 1, BEYOND))
        counted = hits[:, :within] * (rank <= count[:, None])
        precision = (counted.cumsum(dim=1) * counted).double() / rank
        parts.append(
            [
                hits[:, 0].double(),
                counted.sum(dim=1).double() / count,
                precision.sum(dim=1) / count,
            ]
        )
    columns = (torch.cat(column) for column in zip(*parts, strict=True))
    scores = {name: column.where(relevant > 0, torch.nan) for name, column in zip(PER_QUERY, columns, strict=True)}
    return scores, torch.cat(ranks)
