"""Which entries of a distance matrix are the hardest of their groups."""

from typing import NamedTuple

import torch
from torch import Tensor

from pml_aug.distances.expanded import Expanded


class Hardest(NamedTuple):
    """The hardest entry of each group, in each column."""

    hardness: Tensor  # (G, X)
    entry: Tensor  # (G, X), long, in 0 .. N + n P - 1


@torch.no_grad()
def hardest_of_groups(hardness: Tensor, side: Expanded) -> Hardest:
    """The hardest among the rows of each group and the points on their segments; of equals one, always the same.

    Args:
        hardness: of each entry of `side` in each column, larger is harder; in float32 or wider.
        side: the entries, N rows and n points on each of P segments.

    Shapes:
        (N + n * P, X) -> (G, X), (G, X)
    """
    # indices are kept as floats, which torch compares and reduces many times faster; exact up to 2^24 entries
    index = torch.arange(len(hardness), dtype=hardness.dtype, device=hardness.device)[:, None]
    if side.groups is None and not side.num_synthetic:
        return Hardest(hardness, index.long().expand_as(hardness))
    hardness = hardness.contiguous()
    total = len(side.labels) if side.groups is None else side.groups.total
    hardest = hardness.new_full((total, hardness.shape[1]), -torch.inf)
    for group in side.memberships:
        hardest.scatter_reduce_(0, _lines(group, hardness), hardness, "amax")
    entry = torch.zeros_like(hardest)
    for group in side.memberships:
        of_hardest = hardest.index_select(0, group).eq_(hardness).mul_(index)
        entry.scatter_reduce_(0, _lines(group, hardness), of_hardest, "amax")
    return Hardest(hardest, entry.long())


def hardest_between(hardness: Tensor, query: Expanded, reference: Expanded) -> tuple[Tensor, Tensor]:
    """The entries of both sides that are the hardest between each two of their groups.

    Args:
        hardness: of the entries of `reference`, one below the other, with those of `query`.
        query: N rows in G groups.
        reference: R rows in H groups.

    Shapes:
        (R + m Q, N + n P) -> (G, H), (G, H)
    """
    column = hardest_of_groups(hardness, reference)
    row = hardest_of_groups(column.hardness.T, query).entry
    return row, column.entry.T.gather(0, row)


def _lines(group: Tensor, like: Tensor) -> Tensor:
    """One index for a whole line, which torch scatters by fast."""
    return group[:, None].expand_as(like)
