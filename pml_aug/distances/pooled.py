"""The distance matrix of Embedding Expansion: negatives as near as the points around both rows can bring them."""

from typing import NamedTuple

import torch
from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor

from pml_aug.synthesis.pairs import Pairs


class Expanded(NamedTuple):
    """Rows with interior points between some of them."""

    embeddings: Tensor  # (N, D)
    labels: Tensor  # (N,), long
    pairs: Pairs  # P pairs of rows
    points: Tensor  # (n * P, D): first one point of every pair, then the next


def pooled_matrix(distance: BaseDistance, query: Expanded, reference: Expanded, over_class: bool) -> Tensor:
    r"""Plain distances where labels agree, elsewhere the hardest distance between the point sets of both rows.

    .. math::
        M_{ij} = \begin{cases} d(x_i, x_j) & y_i = y_j \\ \min_{p \in S(i),\, q \in S(j)} d(p, q) & \text{else}
        \end{cases}

    :math:`S(i)` is row i with the points of its pairs; `over_class` joins the sets of all rows of a class. For a
    similarity (inverted distance), max stands in place of min. The points of the pair (i, j) are those of (j, i), so
    each is compared once. Where two entries are equally hard they share the gradient.

    Args:
        distance: any PML distance; asked once, about all rows and points.
        query: the rows of the matrix.
        reference: its columns; the same object as `query` compares a batch with itself.
        over_class: pool over the class (the paper) or over the row's own points (the official code).

    Shapes:
        N rows, R columns -> (N, R)

    Source: Ko and Gu, "Embedding Expansion", CVPR 2020, section 3.2; github.com/clovaai/embedding-expansion,
    hphn_triplet.py. The official loss uses the row's own points; there a tie gives each entry the full gradient.
    """
    every_query = torch.cat([query.embeddings, query.points])
    every_reference = every_query if reference is query else torch.cat([reference.embeddings, reference.points])
    distances = distance(every_query, every_reference)
    hardest = "amax" if distance.is_inverted else "amin"
    pooled = _pool_columns(distances, reference, hardest)
    pooled = _pool_columns(pooled.T, query, hardest).T
    if over_class:
        pooled = _pool_class_columns(pooled, reference.labels, hardest)
        pooled = _pool_class_columns(pooled.T, query.labels, hardest).T
    plain = distances[: len(query.labels), : len(reference.labels)]
    return torch.where(query.labels[:, None] == reference.labels, plain, pooled)


def _pool_columns(distances: Tensor, side: Expanded, hardest: str) -> Tensor:
    """The hardest of each row's own column and those of its points: (M, N + n P) -> (M, N)."""
    own, points = distances[:, : len(side.labels)], distances[:, len(side.labels) :]
    if points.shape[1] == 0:
        return own
    of_pair = getattr(points.reshape(len(points), -1, len(side.pairs.start)), hardest)(dim=1)
    for member in side.pairs:
        own = own.scatter_reduce(1, member.expand_as(of_pair), of_pair, hardest)
    return own


def _pool_class_columns(distances: Tensor, labels: Tensor, hardest: str) -> Tensor:
    """In each column the hardest of its class: (M, N) -> (M, N)."""
    first_of_class = (labels[:, None] == labels).byte().argmax(dim=1)
    # from infinity, not from `distances`: the first column of a class would count, and take its gradient, twice
    nothing_yet = torch.full_like(distances, -torch.inf if hardest == "amax" else torch.inf)
    of_class = nothing_yet.scatter_reduce(1, first_of_class.expand_as(distances), distances, hardest)
    return of_class[:, first_of_class]
