"""Which entry of a side of a distance matrix is the hardest of its group."""

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

    Memory is what binds here, so `hardness` is overwritten, and indices are kept as floats beside it: torch reduces
    those fast, and they are exact up to 2^24 entries.

    Args:
        hardness: of each entry in each column, larger is harder; in float32 or wider.
        side: the entries, N rows and n points on each of P segments.

    Shapes:
        (N + n * P, X) -> (G, X), (G, X)
    """
    index = torch.arange(len(hardness), dtype=hardness.dtype, device=hardness.device)[:, None]
    if side.groups is None and not side.num_synthetic:
        return Hardest(hardness, index.expand_as(hardness).long())
    num_rows = len(side.labels)
    members, entry = hardness[:num_rows], index[:num_rows].expand(-1, hardness.shape[1])
    if side.num_synthetic:
        points, of_points = (part[num_rows:].unflatten(0, (side.num_points, -1)) for part in (hardness, index))
        best = points.amax(dim=0)
        which = points.eq_(best).mul_(of_points).amax(dim=0)
        members, entry = torch.cat([members, best, best]), torch.cat([entry, which, which])
    group, total = side.groups_of_members
    at = group[:, None].expand_as(members)  # one index for a whole line: torch scatters these fast
    hardest = members.new_full((total, members.shape[1]), -torch.inf).scatter_reduce_(0, at, members, "amax")
    which = hardest.index_select(0, group).eq_(members).mul_(entry)
    return Hardest(hardest, torch.zeros_like(hardest).scatter_reduce_(0, at, which, "amax").long())
