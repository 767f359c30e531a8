"""Mixtures of a positive and a negative of each row (Metrix)."""

from typing import NamedTuple

import torch
from torch import Tensor

from pml_aug.to_device import to_device
from pml_aug.validation import check_choice

POSITIVES = ("each", "first")


class MixedPairs(NamedTuple):
    """The mixtures that each row of a batch is compared with: of up to P partners of its own with rows of the batch."""

    partner: Tensor  # (N, P), long: a positive of the row, or the row itself
    is_mixed: Tensor  # (N, P, N), bool: whether the row is compared with the mixture of that partner and that row

    def to(self, device: torch.device) -> "MixedPairs":
        return MixedPairs(*(part if part.device == device else to_device(part, device) for part in self))

    def triples(self) -> tuple[Tensor, Tensor, Tensor]:
        """Row, partner and negative of each mixture: rows ascending, then partners, then negatives ascending."""
        row, place, negative = torch.where(self.is_mixed)
        return row, self.partner[row, place], negative

    def entries(self) -> tuple[Tensor, Tensor]:
        """Row and column of each mixture in the matrix of ``distances_to_mixtures``."""
        row, column = torch.where(self.is_mixed.flatten(1))
        return row, column


def positive_negative_pairs(labels: Tensor, positives: str = "each") -> MixedPairs:
    """Every row with the mixtures of each of its positives with each of its negatives.

    Args:
        labels: class of each row.
        positives: "each", or "first": the first positive of a row stands for all, so that each mixture with it appears
            as often as the row has positives (the official code).

    Shapes:
        (N,) -> MixedPairs, P the largest number of positives of a row

    Raises:
        ValueError: another value of `positives`.

    Example:
        >>> [part.tolist() for part in positive_negative_pairs(torch.tensor([7, 7, 8])).triples()]
        [[0, 1], [1, 0], [2, 2]]
    """
    check_choice("positives", positives, POSITIVES)
    same = labels[:, None] == labels
    matches = same.clone().fill_diagonal_(False)
    count = matches.sum(dim=1)
    most = int(count.max()) if len(labels) else 0
    first_to_last = torch.arange(len(labels), 0, -1, device=labels.device)
    partner = (matches * first_to_last).topk(most, dim=1).indices
    is_partner = torch.arange(most, device=labels.device) < count[:, None]
    if positives == "first":
        partner = partner[:, :1].expand(-1, most)
    return MixedPairs(partner, is_partner[:, :, None] & ~same[:, None])


def anchor_negative_pairs(labels: Tensor) -> MixedPairs:
    """Every row without a positive with the mixtures of itself with each of its negatives.

    Shapes:
        (N,) -> MixedPairs, P = 1

    Example:
        >>> [part.tolist() for part in anchor_negative_pairs(torch.tensor([7, 7, 8])).triples()]
        [[2, 2], [2, 2], [0, 1]]
    """
    same = labels[:, None] == labels
    is_alone = same.sum(dim=1) == 1
    rows = torch.arange(len(labels), device=labels.device)
    return MixedPairs(rows[:, None], (is_alone[:, None] & ~same)[:, None])
