"""Rows, the interior points between some of them, and which rows count as one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from pml_aug.synthesis.interpolate import interpolate
from pml_aug.synthesis.pairs import Pairs


class Groups(NamedTuple):
    """Which rows count as one, with all their points, when the hardest is looked for."""

    of_row: Tensor  # (N,), long, in 0 .. total - 1
    total: int  # G
    hold_pairs: bool  # whether both ends of each pair are of one group


@dataclass(frozen=True)
class Expanded:
    """One side of a distance matrix. Its entries are N rows, then n points on the segments of P pairs of them."""

    embeddings: Tensor  # (N, D)
    labels: Tensor  # (N,), long
    pairs: Pairs  # P pairs of rows
    num_points: int  # n
    to_unit: Callable[[Tensor], Tensor] | None = None  # brings the points to unit length; None leaves them
    groups: Groups | None = None  # None leaves every row for itself

    @property
    def num_synthetic(self) -> int:
        """How many points there are: n * P."""
        return self.num_points * len(self.pairs.start)

    @property
    def points(self) -> Tensor:
        """(n * P, D): first one point of every pair, then the next."""
        rows, pairs = self.embeddings, self.pairs
        points = interpolate(rows[pairs.start], rows[pairs.end], self.num_points, normalize=False)
        return points if self.to_unit is None else self.to_unit(points)

    @cached_property
    def memberships(self) -> tuple[Tensor, ...]:
        """The group of each entry, N rows and n * P points; a second time by second ends where these can differ."""
        num_rows, device = len(self.labels), self.labels.device
        of_row = torch.arange(num_rows, device=device) if self.groups is None else self.groups.of_row
        if not self.num_synthetic:
            return (of_row,)
        ends = self.pairs[:1] if self.groups is not None and self.groups.hold_pairs else self.pairs
        return tuple(torch.cat([of_row, of_row.index_select(0, end).repeat(self.num_points)]) for end in ends)
