"""Mixtures of a positive and a negative of each row, and the row's distances to them (Metrix)."""

from typing import NamedTuple

import torch
from pytorch_metric_learning.distances import BaseDistance, LpDistance
from torch import Tensor
from torch.nn.functional import normalize

from pml_aug.distances.delegating import unwrap
from pml_aug.synthesis.mix_classes import is_plain_cosine
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
        """Row and column of each mixture in the matrix of :func:`distances_to_mixtures`."""
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
    partner = matches.byte().argsort(dim=1, descending=True, stable=True)[:, :most]
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


def distances_to_mixtures(distance: BaseDistance, rows: Tensor, pairs: MixedPairs, lam: float) -> Tensor:
    r"""The distance of each row to each of its mixtures.

    .. math:: m_{ipn} = \lambda\, n(x_{\pi(i, p)}) + (1 - \lambda)\, n(x_n), \quad M_{i, pN + n} = d(x_i, m_{ipn})

    where n(.) and the normalisation of mixtures are those of the distance. With PML's cosine and its normalised
    Euclidean distance all of them follow from the products of the rows, and no mixture is computed.

    Args:
        distance: of PML or pml_aug; also a distance of rows that are not normalised.
        rows: the batch.
        pairs: on the device of the rows; other entries than its own are meaningless, though finite.
        lam: weight of the partner, between 0 and 1.

    Shapes:
        (N, D), P partners -> (N, P * N)

    Example:
        >>> from pytorch_metric_learning.distances import CosineSimilarity
        >>> pairs = positive_negative_pairs(torch.tensor([0, 0, 1]))
        >>> rows = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> round(float(distances_to_mixtures(CosineSimilarity(), rows, pairs, lam=0.5)[0, 2] ** 2), 3)
        0.5
    """
    own = unwrap(distance)
    is_euclidean = type(own) is LpDistance and (own.p, own.power, own.normalize_embeddings) == (2, 1, True)
    if not (is_euclidean or is_plain_cosine(own)):
        return _one_by_one(distance, rows, pairs, lam)
    units, limits = normalize(rows), torch.finfo(rows.dtype)
    products = units @ units.T
    squares = products.diagonal()  # 0 for a zero row, else 1
    # |m|^2 of the mixture of any two rows; of opposite ones only rounding remains, and divided by no less than that the
    # cosine is still one
    lengths = lam**2 * squares[:, None] + (1 - lam) ** 2 * squares + 2 * lam * (1 - lam) * products
    inverse_lengths = lengths.clamp_min(limits.eps**2).rsqrt()
    with_partner = products.gather(1, pairs.partner)[:, :, None]
    cosines = torch.lerp(products[:, None], with_partner, lam) * inverse_lengths[pairs.partner]
    if not is_euclidean:
        return cosines.flatten(1)
    values = squares[:, None, None] + 1 - 2 * cosines
    # tiny instead of 0, where the root has an infinite slope
    return values.masked_fill(values <= 4 * limits.eps, limits.tiny).sqrt().flatten(1)


def _one_by_one(distance: BaseDistance, rows: Tensor, pairs: MixedPairs, lam: float) -> Tensor:
    """The same from the mixtures themselves, for any distance."""
    rows = distance.maybe_normalize(rows)
    row, partner, negative = pairs.triples()
    mixtures = distance.maybe_normalize(torch.lerp(rows[negative], rows[partner], lam))
    # PML's `pairwise_distance` adds 1e-6 to each difference of coordinates, its matrix does not
    if type(unwrap(distance)).pairwise_distance is LpDistance.pairwise_distance:
        values = torch.linalg.vector_norm(rows[row] - mixtures, ord=distance.p, dim=1)
    else:
        values = distance.pairwise_distance(rows[row], mixtures)
    matrix = values.new_zeros(len(rows), pairs.is_mixed[0].numel() if len(rows) else 0)
    return matrix.index_put(pairs.entries(), values**distance.power)
