"""Cosine similarities of rows and of mixtures of rows, without the mixtures themselves."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize


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
