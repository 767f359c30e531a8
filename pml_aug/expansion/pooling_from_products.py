"""Distances between interior points from inner products of the rows between which they lie (the fast path)."""

from typing import NamedTuple

import torch
from pytorch_metric_learning.distances import BaseDistance, CosineSimilarity, DotProductSimilarity, LpDistance
from torch import Tensor

from pml_aug.expansion.points import ExpandedBatch
from pml_aug.synthesis.interpolate import to_unit_length


def distances_from_products(
    distance: BaseDistance, query: ExpandedBatch, reference: ExpandedBatch
) -> "DistancesFromProducts | None":
    """The distances between all entries of both sides from products of their rows, if they follow from these.

    They do for exactly LpDistance with p = 2 and power 1 or 2, CosineSimilarity and DotProductSimilarity with power 1,
    on rows in float32 or float64 that are not normalised again. For any other distance the result is None.
    """
    if distance.normalize_embeddings or query.embeddings.dtype not in (torch.float32, torch.float64):
        return None
    if any(side.to_unit not in (None, to_unit_length) for side in (query, reference)):
        return None
    if type(distance) is LpDistance:
        follows = distance.p == 2 and distance.power in (1, 2)
    else:
        follows = type(distance) in (CosineSimilarity, DotProductSimilarity) and distance.power == 1
    return DistancesFromProducts(distance, query, reference) if follows else None


class DistancesFromProducts:
    r"""Distances between all entries, rows and points, without computing a point.

    .. math::
        \langle p, q \rangle = \sum_{u \in \{a, b\}} \sum_{v \in \{c, d\}} w^p_u w^q_v \langle x_u, x_v \rangle, \quad
        |p - q|^2 = |p|^2 + |q|^2 - 2 \langle p, q \rangle

    for p on the segment from a to b and q on the segment from c to d, with weights that normalise both if the sides
    are normalised. Points that are closer to each other than rounding can resolve have distance 0 and gradient 0.

    Args:
        distance: one that :func:`distances_from_products` accepts; called on the rows.
        query: N rows and n points on each of P segments.
        reference: R rows and m points on each of Q segments.
    """

    def __init__(self, distance: BaseDistance, query: ExpandedBatch, reference: ExpandedBatch) -> None:
        with_itself = reference is query
        self.query, self.reference = query, reference
        self.is_euclidean, self.power = not distance.is_inverted, distance.power
        self.plain = distance(query.embeddings, None if with_itself else reference.embeddings)
        self.products = self.plain
        squares = query.embeddings.square().sum(dim=1)
        ref_squares = squares if with_itself else reference.embeddings.square().sum(dim=1)
        if self.is_euclidean:
            distance_squares = self.plain if self.power == 2 else self.plain.square()
            self.products = (squares[:, None] + ref_squares - distance_squares) / 2
        self.rows = _combinations(query, squares, self.products if with_itself else None)
        self.columns = self.rows if with_itself else _combinations(reference, ref_squares, None)

    @torch.no_grad()
    def hardness(self) -> Tensor:
        """(R + m Q, N + n P), larger is harder, without gradient; of Euclidean distances -|p - q|^2 / 2."""
        hardness = _with_points(self.products, self.query, self.rows).T
        if self.reference.num_synthetic:
            hardness = _with_points(hardness, self.reference, self.columns)
        if self.is_euclidean:
            hardness.sub_(self.columns.squares[:, None], alpha=0.5).sub_(self.rows.squares, alpha=0.5)
        return hardness

    def at(self, row: Tensor, column: Tensor) -> Tensor:
        """The distances at given entries: (G, H), (G, H) -> (G, H)."""
        rows, columns = self.rows.of_entries(row.flatten()), self.columns.of_entries(column.flatten())
        ends = rows.ends[:, None] * self.products.shape[1] + columns.ends
        of_ends = self.products.flatten().index_select(0, ends.flatten()).view_as(ends)
        values = (of_ends * rows.weights[:, None] * columns.weights).sum(dim=(0, 1))
        if self.is_euclidean:
            both, limits = rows.squares + columns.squares, torch.finfo(values.dtype)
            values = both - 2 * values
            # tiny instead of 0, where the root has an infinite slope
            values = values.masked_fill(values <= 4 * limits.eps * both, limits.tiny)
            values = values if self.power == 2 else values.sqrt()
        return values.view(row.shape)


class _Combinations(NamedTuple):
    """Entries as weighted sums of two rows; a row is 1 times itself plus 0 times itself."""

    ends: Tensor  # (2, N + n P), long
    weights: Tensor  # (2, N + n P)
    squares: Tensor  # (N + n P,), squared lengths of the entries

    def of_entries(self, entry: Tensor) -> "_Combinations":
        ends, weights = (part.gather(1, entry.expand(2, -1)) for part in (self.ends, self.weights))
        return _Combinations(ends, weights, self.squares.index_select(0, entry))


def _combinations(side: ExpandedBatch, squares: Tensor, products: Tensor | None) -> _Combinations:
    """The entries of a side; `products` of its rows with each other are used if given."""
    rows, n = side.embeddings, side.num_points
    index = torch.arange(len(rows), device=rows.device).expand(2, -1)
    whole = torch.eye(2, 1, device=rows.device, dtype=rows.dtype).expand(-1, len(rows))
    if not side.num_synthetic:
        return _Combinations(index, whole, squares)
    ends = torch.stack(side.pairs)
    if products is None:
        product = torch.linalg.vecdot(*rows[ends])
    else:
        product = products.flatten().index_select(0, ends[0] * len(rows) + ends[1])
    shares, of_points = side.combinations(squares.index_select(0, ends.flatten()).view(2, -1), product)
    return _Combinations(
        torch.cat([index, ends.repeat(1, n)], dim=1),
        torch.cat([whole, shares.flatten(1)], dim=1),
        torch.cat([squares, of_points.flatten()]),
    )


def _with_points(products: Tensor, side: ExpandedBatch, combinations: _Combinations) -> Tensor:
    """Products of the rows of a side, and below them those of its points: (N, X) -> (N + n P, X)."""
    num_rows = len(side.labels)
    every = products.new_empty(num_rows + side.num_synthetic, products.shape[1])
    every[:num_rows] = products
    if side.num_synthetic:
        first, second = products.index_select(0, torch.cat(side.pairs)).chunk(2)
        of_first, of_second = combinations.weights[:, num_rows:].unflatten(1, (side.num_points, -1))[..., None]
        points = every[num_rows:].unflatten(0, (side.num_points, -1))
        torch.mul(first, of_first, out=points).addcmul_(second, of_second)
    return every
