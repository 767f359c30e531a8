"""Mixtures of two vectors as members of a synthetic class, and their cosines (Proxy Synthesis)."""

from typing import Any

import torch
from pytorch_metric_learning.distances import BaseDistance, CosineSimilarity, DotProductSimilarity
from torch import Tensor
from torch.nn.functional import normalize

from pml_aug.synthesis.pairs import Pairs
from pml_aug.validation import check_number

SMALL_ALPHA = 0.05  # below, both of torch's gamma variates may underflow to the same number: at .05 in 1e-31 of draws
MIN_LENGTH = 1e-12  # as in torch.nn.functional.normalize


def mix(first: Tensor, second: Tensor, mixing: float | Tensor) -> Tensor:
    r"""The mixture of two directions, on the scale of the two vectors.

    .. math::
        \tilde x = \Bigl(\lambda \frac{a}{|a|} + (1 - \lambda) \frac{b}{|b|}\Bigr)
        \bigl(\lambda |a| + (1 - \lambda) |b|\bigr)

    The official code brings the first factor to unit length; a loss that normalises its inputs cannot tell the
    difference. The second factor is for losses that depend on lengths (SphereFace, dot products).

    Args:
        first: :math:`a`.
        second: :math:`b`.
        mixing: :math:`\lambda` in [0, 1], one for all rows, or a column with one per row.

    Shapes:
        (..., D), (..., D) -> (..., D)

    Source: Gu et al., "Proxy Synthesis", AAAI 2021, equations 2 and 3; github.com/navervision/proxy-synthesis,
    loss/proxy_losses.py.

    Example:
        >>> mix(torch.tensor([2.0, 0.0]), torch.tensor([4.0, 0.0]), 0.5).tolist()
        [3.0, 0.0]
    """
    first_length = first.norm(dim=-1, keepdim=True).clamp_min(MIN_LENGTH)
    second_length = second.norm(dim=-1, keepdim=True).clamp_min(MIN_LENGTH)
    length = mixing * first_length + (1 - mixing) * second_length
    return first * (mixing * length / first_length) + second * ((1 - mixing) * length / second_length)


def draw_mixing(alpha: float, generator: torch.Generator | None = None) -> float:
    r"""A random number :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)`, without a wait for a device.

    Args:
        alpha: above 0; with small values lambda is close to 0 or 1.
        generator: source of the numbers, which are drawn on its device; an accelerator is then waited for. By default
            torch's global one of the CPU.

    Raises:
        TypeError: `alpha` is not a number.
        ValueError: `alpha` is not above 0, or not finite.

    Example:
        >>> 0 <= draw_mixing(0.4) <= 1
        True
    """
    check_number("alpha", alpha, above=0)
    options: dict[str, Any] = {"dtype": torch.float64, "device": "cpu" if generator is None else generator.device}
    if alpha >= SMALL_ALPHA:
        return float(torch._sample_dirichlet(torch.full((2,), alpha, **options), generator=generator)[0])
    # lambda = G / (G + H) of gamma variates, G = G' U^(1 / alpha) with G' of shape alpha + 1, in logarithms
    gammas = torch._standard_gamma(torch.full((2,), alpha + 1, **options), generator=generator).log()
    uniform = torch.log1p(-torch.rand(2, generator=generator, **options))  # of (0, 1]
    return float(torch.sigmoid((uniform[0] - uniform[1]) / alpha + gammas[0] - gammas[1]))


def is_plain_cosine(distance: BaseDistance) -> bool:
    """Whether `distance` is PML's cosine and nothing else.

    Example:
        >>> from pytorch_metric_learning.distances import LpDistance
        >>> is_plain_cosine(CosineSimilarity()), is_plain_cosine(LpDistance())
        (True, False)
    """
    settings = (distance.normalize_embeddings, distance.p, distance.power, distance.collect_stats)
    return type(distance) in (CosineSimilarity, DotProductSimilarity) and settings == (True, 2, 1, False)


def mixed_cosines(rows: Tensor, columns: Tensor, row_pairs: Pairs, column_pairs: Pairs, mixing: float) -> Tensor:
    r"""Cosines of rows with columns, each followed by the mixtures of its pairs, from one product of rows and columns.

    .. math::
        \cos(\lambda a + (1 - \lambda) b,\ v)
        = \frac{\lambda \cos(a, v) + (1 - \lambda) \cos(b, v)}{|\lambda a + (1 - \lambda) b|},
        \quad |a| = |b| = 1

    The product of rows and columns with their mixtures is (N + k) (R + l) D instead of N R D multiplications.

    Args:
        rows: (N, D), normalised here.
        columns: (R, D), normalised here.
        row_pairs: k pairs of rows.
        column_pairs: l pairs of columns.
        mixing: :math:`\lambda`, the weight of the first of each pair.

    Shapes:
        (N, D), (R, D) -> (N + k, R + l)

    Example:
        >>> half_way = Pairs(torch.tensor([0]), torch.tensor([1]))
        >>> mixed_cosines(torch.eye(2), torch.eye(2), half_way, half_way, 0.5).mul(2).square().round().tolist()
        [[4.0, 0.0, 2.0], [0.0, 4.0, 2.0], [2.0, 2.0, 4.0]]
    """
    rows, columns = normalize(rows), normalize(columns)
    cosines = _with_mixtures(rows @ columns.T, 0, rows, row_pairs, mixing)
    return _with_mixtures(cosines, 1, columns, column_pairs, mixing)


def _with_mixtures(cosines: Tensor, dim: int, units: Tensor, pairs: Pairs, mixing: float) -> Tensor:
    """The cosines followed by those of the mixtures along `dim`, along which the unit rows `units` lie."""
    ends = torch.cat([pairs.end, pairs.start])
    # for opposite directions only rounding remains; divided by no less than that, it is still a cosine
    length = _between(taken(units, ends), 0, mixing).norm(dim=1).clamp_min(torch.finfo(units.dtype).eps)
    mixed = _between(cosines.index_select(dim, ends), dim, mixing) / length.unsqueeze(1 - dim)
    return torch.cat([cosines, mixed], dim)


def _between(ends: Tensor, dim: int, mixing: float) -> Tensor:
    second, first = ends.chunk(2, dim)
    return torch.lerp(second, first, mixing)


def taken(rows: Tensor, places: Tensor) -> Tensor:
    """Rows at given places: (N, D), (k,) -> (k, D). Rows that are stored as columns are read as columns: faster."""
    return rows.index_select(0, places) if rows.is_contiguous() else rows.T.index_select(1, places).T
