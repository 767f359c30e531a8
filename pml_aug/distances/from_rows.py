"""The hardest distances between interior points, from the distances of the rows that they lie between."""

from typing import NamedTuple

import torch
from pytorch_metric_learning.distances import BaseDistance, CosineSimilarity, DotProductSimilarity, LpDistance
from torch import Tensor

from pml_aug.distances.expanded import Expanded
from pml_aug.distances.hardest import hardest_between
from pml_aug.synthesis.interpolate import UNIT_EPS, to_unit_length


def follows_from_rows(distance: BaseDistance, query: Expanded, reference: Expanded) -> bool:
    """Whether `distance` is one whose values between points follow from inner products of rows."""
    as_they_are = all(side.to_unit in (None, to_unit_length) for side in (query, reference))
    if not as_they_are or distance.normalize_embeddings or query.embeddings.dtype not in (torch.float32, torch.float64):
        return False
    if type(distance) is LpDistance:
        return distance.p == 2 and distance.power in (1, 2)
    return type(distance) in (CosineSimilarity, DotProductSimilarity) and distance.power == 1


def hardest_from_rows(distance: BaseDistance, query: Expanded, reference: Expanded) -> tuple[Tensor, Tensor]:
    r"""The distances of the rows, and the hardest between their groups, for which no point is ever made.

    .. math::
        \langle p, q \rangle = \sum_{u \in \{a, b\}} \sum_{v \in \{c, d\}} w^p_u w^q_v \langle x_u, x_v \rangle, \quad
        |p - q|^2 = |p|^2 + |q|^2 - 2 \langle p, q \rangle

    for p on the segment from a to b and q on that from c to d, with weights that bring both to unit length where that
    is asked for. All pairs are searched without gradient; the chosen ones alone are then worked out with it. Points
    that are nearer to each other than rounding can tell are at distance 0, with gradient 0.

    Args:
        distance: one that :func:`follows_from_rows`; asked about the rows.
        query: N rows in G groups.
        reference: R columns in H groups.

    Shapes:
        N rows, R columns -> (N, R), (G, H)
    """
    itself, euclidean = reference is query, not distance.is_inverted
    plain = products = distance(query.embeddings, None if itself else reference.embeddings)
    squares = query.embeddings.square().sum(dim=1)
    ref_squares = squares if itself else reference.embeddings.square().sum(dim=1)
    if euclidean:
        products = (squares[:, None] + ref_squares - (plain if distance.power == 2 else plain.square())) / 2
    rows = _combinations(query, squares, products if itself else None)
    columns = rows if itself else _combinations(reference, ref_squares, None)

    row, column = _search(products, query, reference, rows, columns, euclidean)
    shape, rows, columns = row.shape, rows.of_entries(row.flatten()), columns.of_entries(column.flatten())
    ends = rows.ends[:, None] * products.shape[1] + columns.ends
    of_ends = products.flatten().index_select(0, ends.flatten()).view_as(ends)
    hardest = (of_ends * rows.weights[:, None] * columns.weights).sum(dim=(0, 1))
    if euclidean:
        both, limits = rows.squares + columns.squares, torch.finfo(hardest.dtype)
        hardest = both - 2 * hardest
        # not by 0, where the slope of the root is infinite
        hardest = hardest.masked_fill(hardest <= 4 * limits.eps * both, limits.tiny)
        hardest = hardest if distance.power == 2 else hardest.sqrt()
    return plain, hardest.view(shape)


class _Combinations(NamedTuple):
    """Entries as weighted sums of two rows; a row is itself and nothing of itself."""

    ends: Tensor  # (2, N + n P), long
    weights: Tensor  # (2, N + n P)
    squares: Tensor  # (N + n P,), of their lengths

    def of_entries(self, entry: Tensor) -> "_Combinations":
        ends, weights = (part.gather(1, entry.expand(2, -1)) for part in (self.ends, self.weights))
        return _Combinations(ends, weights, self.squares.index_select(0, entry))


def _combinations(side: Expanded, squares: Tensor, products: Tensor | None) -> _Combinations:
    """What each entry is made of; `products` of the rows with themselves are used where they are at hand."""
    rows, n = side.embeddings, side.num_points
    itself = torch.arange(len(rows), device=rows.device).expand(2, -1)
    whole = torch.eye(2, 1, device=rows.device, dtype=rows.dtype).expand(-1, len(rows))
    if not side.num_synthetic:
        return _Combinations(itself, whole, squares)
    ends = torch.stack(side.pairs)
    if products is None:
        product = torch.linalg.vecdot(*rows[ends])
    else:
        product = products.flatten().index_select(0, ends[0] * len(rows) + ends[1])
    step = torch.arange(1, n + 1, device=rows.device, dtype=rows.dtype)[:, None] / (n + 1)
    shares = torch.stack([1 - step, step])  # (2, n, 1)
    of_ends = squares.index_select(0, ends.flatten()).view(2, 1, -1)
    of_points = torch.addcmul((shares.square() * of_ends).sum(dim=0), shares.prod(dim=0), product, value=2)
    of_points = of_points.clamp_min(0)  # between opposite rows rounding alone remains, and may be negative
    shares = shares.expand(-1, -1, len(product))
    if side.to_unit is not None:
        to_unit = torch.rsqrt(of_points + UNIT_EPS)
        shares, of_points = shares * to_unit, of_points * to_unit.square()
    return _Combinations(
        torch.cat([itself, ends.repeat(1, n)], dim=1),
        torch.cat([whole, shares.flatten(1)], dim=1),
        torch.cat([squares, of_points.flatten()]),
    )


@torch.no_grad()
def _search(
    products: Tensor,
    query: Expanded,
    reference: Expanded,
    rows: _Combinations,
    columns: _Combinations,
    euclidean: bool,
) -> tuple[Tensor, Tensor]:
    """The entries of both sides that are the hardest between each two groups: (N, R) -> (G, H), (G, H)."""
    hardness = _with_points(products, query, rows).T
    if reference.num_synthetic:
        hardness = _with_points(hardness, reference, columns)
    if euclidean:  # -|p - q|^2 / 2
        hardness.sub_(columns.squares[:, None], alpha=0.5).sub_(rows.squares, alpha=0.5)
    return hardest_between(hardness, query, reference)


def _with_points(products: Tensor, side: Expanded, combinations: _Combinations) -> Tensor:
    """The products of the rows with whatever, and those of their points below: (N, X) -> (N + n P, X)."""
    num_rows = len(side.labels)
    every = products.new_empty(num_rows + side.num_synthetic, products.shape[1])
    every[:num_rows] = products
    if side.num_synthetic:
        first, second = products.index_select(0, torch.cat(side.pairs)).chunk(2)
        of_first, of_second = combinations.weights[:, num_rows:].unflatten(1, (side.num_points, -1))[..., None]
        points = every[num_rows:].unflatten(0, (side.num_points, -1))
        torch.mul(first, of_first, out=points).addcmul_(second, of_second)
    return every
