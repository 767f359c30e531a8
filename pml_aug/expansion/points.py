"""Embeddings, the interior points between them, and which of them are pooled together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor
from torch.nn.functional import normalize

from pml_aug.distances.introspective_base import IntrospectiveBase
from pml_aug.synthesis.interpolate import UNIT_EPS, interpolate, to_unit_length
from pml_aug.synthesis.pairs import Pairs, adjacent_pairs, all_positive_pairs, within_class_pairs
from pml_aug.validation import check_choice, check_flag, check_integer

PAIRINGS: Mapping[str, Callable[[Tensor], Pairs]] = {
    "within_class": within_class_pairs,
    "adjacent": adjacent_pairs,
    "all_pairs": all_positive_pairs,
}
ANCHOR_POINTS = ("class", "own")


class Groups(NamedTuple):
    """Which rows are pooled together, with all their points, in the search for the hardest distance."""

    of_row: Tensor  # (N,), long, in 0 .. total - 1
    total: int  # G
    hold_pairs: bool  # whether both ends of each pair are in one group


def groups_of_pairs(pairs: Pairs, num_rows: int) -> Groups:
    """Groups of the two rows of each of disjoint pairs, named by the first one, and of every other row alone."""
    rows = torch.arange(num_rows, device=pairs.start.device)
    return Groups(rows.index_copy(0, pairs.end, pairs.start), num_rows, hold_pairs=True)


@dataclass(frozen=True)
class ExpandedBatch:
    """One side of a distance matrix. Its entries are N rows, then n points on the segment of each of P pairs."""

    embeddings: Tensor  # (N, D)
    labels: Tensor  # (N,), long
    pairs: Pairs  # P pairs of rows
    num_points: int  # n
    to_unit: Callable[[Tensor], Tensor] | None = None  # normalises points, as the rows are; None: neither is
    groups: Groups | None = None  # None: each row is its own group
    num_classes: int | None = None  # of `labels`; None: not counted

    @property
    def num_synthetic(self) -> int:
        """The number of points: n * P."""
        return self.num_points * len(self.pairs.start)

    @property
    def num_acting(self) -> int:
        """The number of entries through which a row gets distances that are not its own: its points."""
        return self.num_synthetic

    @property
    def points(self) -> Tensor:
        """(n * P, D): the first point of every pair, then the second, and so on."""
        rows, pairs = self.embeddings, self.pairs
        points = interpolate(rows[pairs.start], rows[pairs.end], self.num_points, normalize=False)
        return points if self.to_unit is None else self.to_unit(points)

    def combinations(self, squares: Tensor, product: Tensor) -> tuple[Tensor, Tensor]:
        """The points as weighted sums of the two rows of their pair, and their squared lengths.

        Args:
            squares: (2, P), squared lengths of the first and second rows.
            product: (P,), inner products of both.

        Returns:
            Weights of the first and second rows (2, n, P), and squared lengths (n, P).
        """
        n = self.num_points
        step = torch.arange(1, n + 1, device=squares.device, dtype=squares.dtype)[:, None] / (n + 1)
        shares = torch.stack([1 - step, step])  # (2, n, 1)
        of_points = torch.addcmul((shares.square() * squares[:, None]).sum(dim=0), shares.prod(dim=0), product, value=2)
        of_points = of_points.clamp_min(0)  # between opposite rows only rounding is left, which can be negative
        shares = shares.expand(-1, -1, len(product))
        if self.to_unit is None:
            return shares, of_points
        to_unit = torch.rsqrt(of_points + UNIT_EPS)
        return shares * to_unit, of_points * to_unit.square()

    @cached_property
    def memberships(self) -> tuple[Tensor, ...]:
        """The group of each of the N + n * P entries: by first ends, and by second ends if they can differ."""
        num_rows, device = len(self.labels), self.labels.device
        of_row = torch.arange(num_rows, device=device) if self.groups is None else self.groups.of_row
        if not self.num_synthetic:
            return (of_row,)
        ends = self.pairs[:1] if self.groups is not None and self.groups.hold_pairs else self.pairs
        return tuple(torch.cat([of_row, of_row.index_select(0, end).repeat(self.num_points)]) for end in ends)


@dataclass(frozen=True)
class Expansion:
    """The settings of Embedding Expansion; expands batches.

    Args:
        num_points: n, interior points per pair, at least 0.
        normalize: normalise embeddings and points; of rows [semantic | uncertainty], the semantic part.
        pairing: "within_class", "adjacent" or "all_pairs".
        anchor_points: "class" or "own".

    Raises:
        ValueError: an argument out of range.
        TypeError: an argument of another type.

    Example:
        >>> batch = Expansion(num_points=3).expand(torch.eye(4), torch.tensor([0, 0, 1, 1]))
        >>> batch.points.shape  # three on each of two segments
        torch.Size([6, 4])
    """

    num_points: int
    normalize: bool = True
    pairing: str = "within_class"
    anchor_points: str = "class"

    def __post_init__(self) -> None:
        check_integer("num_points", self.num_points, minimum=0)
        check_flag("normalize", self.normalize)
        check_choice("pairing", self.pairing, PAIRINGS)
        check_choice("anchor_points", self.anchor_points, ANCHOR_POINTS)

    @property
    def is_off(self) -> bool:
        """Whether the distances of the rows stay as they are."""
        return self.num_points == 0

    def expand(
        self,
        embeddings: Tensor,
        labels: Tensor,
        distance: BaseDistance | None = None,
        num_paired: int | None = None,
    ) -> ExpandedBatch:
        """The rows with the points between them: (N, D), (N,) -> N rows and n * P points.

        Args:
            embeddings: (N, D).
            labels: (N,).
            distance: the distance that will compare them. An introspective one normalises the semantic part alone.
            num_paired: number of rows, from the first, that are paired; None pairs all.
        """
        introspective = distance if isinstance(distance, IntrospectiveBase) else None
        rows, to_unit = embeddings, None
        if self.normalize:
            rows = normalize(rows) if introspective is None else introspective.normalize(rows)
            to_unit = to_unit_length if introspective is None else introspective.normalize
        # pairs and groups are computed on the CPU, which needs their sizes: at most one wait for an accelerator
        on_host, device = labels.cpu(), rows.device
        ends = PAIRINGS[self.pairing](on_host[:num_paired])
        classes, of_row = torch.unique(on_host, return_inverse=True)
        groups = None
        if self.anchor_points == "class":
            groups = Groups(of_row.to(device, non_blocking=True), len(classes), hold_pairs=self.pairing != "adjacent")
        return ExpandedBatch(
            rows,
            labels if labels.device == device else on_host.to(device, non_blocking=True),
            Pairs(*(rows_of_pairs.to(device, non_blocking=True) for rows_of_pairs in ends)),
            self.num_points,
            to_unit,
            groups,
            len(classes),
        )

    def expand_both(
        self,
        embeddings: Tensor,
        labels: Tensor,
        ref_emb: Tensor | None,
        ref_labels: Tensor | None,
        distance: BaseDistance | None = None,
    ) -> tuple[ExpandedBatch, ExpandedBatch]:
        """The batch and the rows it is compared with; the same object twice if it is compared with itself."""
        query = self.expand(embeddings, labels, distance)
        if ref_emb is None or ref_labels is None or (ref_emb is embeddings and ref_labels is labels):
            return query, query
        return query, self.expand(ref_emb, ref_labels, distance)


def num_points_compared(query: ExpandedBatch, reference: ExpandedBatch) -> int:
    """The number of points that take part in a distance between classes: 0 if all rows are of one class."""
    if reference is query:
        return query.num_acting if query.num_classes != 1 else 0
    return query.num_acting + reference.num_acting
