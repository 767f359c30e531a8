"""Distances of rows to mixtures of a positive and a negative (Metrix)."""

import torch
from pytorch_metric_learning.distances import BaseDistance, LpDistance
from torch import Tensor
from torch.nn.functional import normalize

from pml_aug.distances.delegating import unwrap
from pml_aug.synthesis.mix_classes import is_plain_cosine
from pml_aug.synthesis.mixed_pairs import MixedPairs


def follow_from_rows(distance: BaseDistance) -> bool:
    """Whether the distances to mixtures of rows follow from those between the rows.

    Example:
        >>> from pytorch_metric_learning.distances import SNRDistance
        >>> follow_from_rows(LpDistance()), follow_from_rows(SNRDistance())
        (True, False)
    """
    return is_plain_cosine(distance) or _is_normalized_euclidean(distance)


def _is_normalized_euclidean(distance: BaseDistance) -> bool:
    return type(distance) is LpDistance and (distance.p, distance.power, distance.normalize_embeddings) == (2, 1, True)


def distances_to_mixtures(
    distance: BaseDistance, rows: Tensor, pairs: MixedPairs, lam: float, between_rows: Tensor | None = None
) -> Tensor:
    r"""The distance of each row to each of its mixtures.

    .. math:: m_{ipn} = \lambda\, n(x_{\pi(i, p)}) + (1 - \lambda)\, n(x_n), \quad M_{i, pN + n} = d(x_i, m_{ipn})

    where n(.) and the normalisation of mixtures are those of the distance. With PML's cosine and its normalised
    Euclidean distance all of them follow from the distances of the rows, and no mixture is computed.

    Args:
        distance: of PML or pml_aug; also a distance of rows that are not normalised.
        rows: the batch.
        pairs: on the device of the rows; other entries than its own are meaningless, though finite.
        lam: weight of the partner, between 0 and 1.
        between_rows: the distances of the rows with each other, (N, N), where they have been computed already.

    Shapes:
        (N, D), P partners -> (N, P * N)

    Example:
        >>> from pytorch_metric_learning.distances import CosineSimilarity
        >>> from pml_aug.synthesis import positive_negative_pairs
        >>> pairs = positive_negative_pairs(torch.tensor([0, 0, 1]))
        >>> rows = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> round(float(distances_to_mixtures(CosineSimilarity(), rows, pairs, lam=0.5)[0, 2] ** 2), 3)
        0.5
    """
    own = unwrap(distance)
    if not follow_from_rows(own):
        return _one_by_one(distance, rows, pairs, lam)
    is_euclidean, limits = _is_normalized_euclidean(own), torch.finfo(rows.dtype)
    products = own(rows) if between_rows is None else between_rows
    with torch.no_grad():  # 0 for a zero row, else 1
        squares = normalize(rows).square().sum(dim=1)
    if is_euclidean:
        products = (squares[:, None] + squares - products.square()) / 2
    # |m|^2 of the mixture of any two rows; of opposite ones only rounding remains, and divided by no less than that the
    # cosine is still one
    lengths = lam**2 * squares[:, None] + (1 - lam) ** 2 * squares + 2 * lam * (1 - lam) * products
    inverse_lengths = lengths.clamp_min(limits.eps**2).rsqrt()
    with_partner = products.gather(1, pairs.partner)[:, :, None]
    of_partner = inverse_lengths.index_select(0, pairs.partner.flatten()).unflatten(0, pairs.partner.shape)
    cosines = torch.lerp(products[:, None], with_partner, lam) * of_partner
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
