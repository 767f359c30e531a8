"""Cosine similarities of rows and of what is synthesised from them, which follow from products of the rows alone."""

from typing import NamedTuple

import torch
from pytorch_metric_learning.distances import BaseDistance, CosineSimilarity, DotProductSimilarity
from torch import Tensor
from torch.nn.functional import normalize

MIN_LENGTH = 1e-12  # as in torch.nn.functional.normalize


def is_plain_cosine(distance: BaseDistance) -> bool:
    """Whether `distance` is the cosine and nothing else; what a subclass of PML's distances does is not known.

    Example:
        >>> from pytorch_metric_learning.distances import LpDistance
        >>> is_plain_cosine(CosineSimilarity()), is_plain_cosine(LpDistance())
        (True, False)
    """
    settings = (distance.normalize_embeddings, distance.p, distance.power, distance.collect_stats)
    return type(distance) in (CosineSimilarity, DotProductSimilarity) and settings == (True, 2, 1, False)


def copied_cosines(rows: Tensor, copies: Tensor) -> Tensor:
    r"""The cosines of rows with themselves, and with copies of them that were moved by constants.

    .. math::
        \cos(x_i, x_j + \delta) = \frac{x_i \cdot x_j + x_i \cdot \delta}{|x_i|\, |x_j + \delta|}, \quad
        |x_j + \delta|^2 = |x_j|^2 + 2\, x_j \cdot \delta + |\delta|^2

    So the gradient needs one product with the offsets where that of the copies themselves needs two.

    Args:
        rows: of any length.
        copies: copy by copy; a gradient at a copy reaches its row as it is.

    Shapes:
        (N, D), (M * N, D) -> (N, (M + 1) * N)

    Example:
        >>> copied_cosines(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])).tolist()
        [[1.0, 0.0]]
    """
    offsets = copies.detach().unflatten(0, (-1, len(rows))) - rows.detach()
    plain = rows @ rows.T
    moved = (rows @ offsets.flatten(0, 1).T).unflatten(1, offsets.shape[:2])
    square = plain.diagonal()
    both = square + offsets.norm(dim=2).square()
    of_copies = torch.add(both, moved.diagonal(dim1=0, dim2=2), alpha=2)
    # of a copy at the origin rounding alone remains, and may be negative
    of_copies = of_copies.clamp_min(torch.finfo(rows.dtype).eps * both.detach())
    to_unit = torch.cat([square[None], of_copies]).clamp_min(MIN_LENGTH**2).rsqrt()
    products = torch.cat([plain[:, None], plain[:, None] + moved], dim=1)
    return (products * to_unit[0, :, None, None] * to_unit).flatten(1)


class Mixtures(NamedTuple):
    """Which rows are mixed two by two, with one weight for the first of each pair."""

    first: Tensor  # (k,), long
    second: Tensor  # (k,), long
    mixing: float


def mixed_cosines(rows: Tensor, columns: Tensor, of_rows: Mixtures, of_columns: Mixtures) -> Tensor:
    r"""The cosines of all rows with all columns, mixtures of both standing at the end.

    A mixture is as similar to anything as its two ends are, mixed and divided by its length:

    .. math::
        \cos(\lambda a + (1 - \lambda) b,\ v)
        = \frac{\lambda \cos(a, v) + (1 - \lambda) \cos(b, v)}{|\lambda a + (1 - \lambda) b|},
        \quad |a| = |b| = 1

    So one matrix product of the plain rows and columns serves the mixtures too.

    Args:
        rows: brought to unit length here, as the columns are.
        columns: what they are compared with.
        of_rows: k pairs of rows.
        of_columns: l pairs of columns.

    Shapes:
        (N, D), (R, D) -> (N + k, R + l)

    Example:
        >>> half_way = Mixtures(torch.tensor([0]), torch.tensor([1]), 0.5)
        >>> mixed_cosines(torch.eye(2), torch.eye(2), half_way, half_way).mul(2).square().round().tolist()
        [[4.0, 0.0, 2.0], [0.0, 4.0, 2.0], [2.0, 2.0, 4.0]]
    """
    rows, columns = normalize(rows), normalize(columns)
    cosines = _with_mixtures(rows @ columns.T, 0, rows, of_rows)
    return _with_mixtures(cosines, 1, columns, of_columns)


def _with_mixtures(cosines: Tensor, dim: int, units: Tensor, mixtures: Mixtures) -> Tensor:
    """The cosines with those of the mixtures at the end of a dimension, along which the unit rows `units` lie."""
    ends = torch.cat([mixtures.second, mixtures.first])
    # of two directions that cancel, rounding alone remains: divided by no less than that, it stays a cosine
    length = _between(taken(units, ends), 0, mixtures.mixing).norm(dim=1).clamp_min(torch.finfo(units.dtype).eps)
    mixed = _between(cosines.index_select(dim, ends), dim, mixtures.mixing) / length.unsqueeze(1 - dim)
    return torch.cat([cosines, mixed], dim)


def _between(ends: Tensor, dim: int, mixing: float) -> Tensor:
    second, first = ends.chunk(2, dim)
    return torch.lerp(second, first, mixing)


def taken(rows: Tensor, places: Tensor) -> Tensor:
    """Some of the rows: (N, D), (k,) -> (k, D). Transposed ones are taken as they lie in memory, which is faster."""
    return rows.index_select(0, places) if rows.is_contiguous() else rows.T.index_select(1, places).T
