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
    def groups_of_members(self) -> Groups:
        """The groups of the rows, then of the first ends of the pairs, then of the second: (N + 2 P,)."""
        num_rows = len(self.labels)
        of_row, total = self.groups or (torch.arange(num_rows, device=self.labels.device), num_rows)
        if self.num_synthetic:
            of_row = torch.cat([of_row, *(of_row.index_select(0, end) for end in self.pairs)])
        return Groups(of_row, total)
