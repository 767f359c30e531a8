"""Points around a proxy that are as similar to it as a given row is (Spherical Embedding Expansion)."""

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pml_aug.to_device import to_device
from pml_aug.validation import check_integer


@cache
def simplex_corners(num_points: int) -> Tensor:
    r"""The corners of a regular simplex around the origin, of unit length, in float64; the first one is (1, 0, ...).

    .. math::
        W_{k,j} = \frac{-1/n - \sum_{l < j} W_{k,l} W_{j,l}}{W_{j,j}} \ (j < k), \quad
        W_{k,k} = \Bigl(1 - \sum_{l < k} W_{k,l}^2\Bigr)^{1/2} \ (k < n)

    so that :math:`\langle W_j, W_k \rangle = -1/n` for :math:`j \ne k`.

    Args:
        num_points: n, at least 1.

    Shapes:
        -> (n + 1, n)

    Raises:
        TypeError: `num_points` is not an integer.
        ValueError: `num_points` is below 1.

    Example:
        >>> simplex_corners(1).tolist()
        [[1.0], [-1.0]]
    """
    check_integer("num_points", num_points, minimum=1)
    corners = torch.zeros(num_points + 1, num_points, dtype=torch.float64)
    corners[0, 0] = 1
    for k in range(1, num_points + 1):
        for j in range(min(k, num_points)):
            corners[k, j] = (-1 / num_points - corners[k, :j] @ corners[j, :j]) / corners[j, j]
        if k < num_points:
            corners[k, k] = (1 - corners[k, :k].square().sum()).sqrt()
    return corners


def draw_directions(num_rows: int, num_points: int, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Normally distributed directions for :func:`points_of_equal_cosine`, with dtype and device of `like`.

    Args:
        num_rows: R.
        num_points: n, at least 1.
        like: rows of width D.
        generator: source of the numbers, which are drawn on its device; by default torch's global one of the device of
            `like`.

    Shapes:
        -> (R, n - 1, D)

    Example:
        >>> draw_directions(2, 4, torch.zeros(5, 8)).shape
        torch.Size([2, 3, 8])
    """
    device = like.device if generator is None else generator.device
    shape = (num_rows, num_points - 1, like.shape[1])
    return to_device(torch.randn(shape, generator=generator, dtype=like.dtype, device=device), like.device)


def points_of_equal_cosine(rows: Tensor, axes: Tensor, directions: Tensor) -> Tensor:
    r"""For each row, n unit points with the row's cosine to its axis, as far from each other and the row as can be.

    With z and w the row and its axis at unit length,

    .. math::
        z'_k = M + |r| \sum_{j=1}^{n} W_{k,j-1}\, u_j, \quad M = \langle z, w \rangle w, \quad r = z - M

    where W are the :func:`simplex_corners`, :math:`u_1 = r / |r|`, and :math:`u_2, \dots, u_n` are the directions made
    orthonormal to w, :math:`u_1` and each other in their order. Corner 0 would be the row itself. One point is the
    mirror image of the row behind its axis. A row on its axis has no circle around it: all its points are the axis.

    Args:
        rows: R rows of any length.
        axes: one per row, of any length: in the method, the proxy of the row's class.
        directions: n - 1 per row, of any length; with normally distributed ones all circles of points are equally
            likely.

    Shapes:
        (R, D), (R, D), (R, n - 1, D) -> (R, n, D), D at least n + 1

    Raises:
        ValueError: D is below n + 1: so many points do not fit around an axis.

    Source: Le and Woo, "Spherical Embedding Expansion for Deep Metric Learning", PAKDD 2024, official code
    github.com/Leminhbinh0209/PAKDD24-SEE. That code draws n directions, of which the last has no effect, and makes them
    orthonormal one after the other; here it is done by one QR decomposition, with the same result.

    Example:
        >>> row, axis = torch.tensor([[0.6, 0.8]]), torch.tensor([[0.0, 2.0]])
        >>> points_of_equal_cosine(row, axis, torch.empty(1, 0, 2)).mul(10).round().tolist()
        [[[-6.0, 8.0]]]
    """
    num_points, width = directions.shape[1] + 1, rows.shape[1]
    if width < num_points + 1:
        raise ValueError(
            f"{num_points} points around an axis need rows of width {num_points + 1} or more, but got {width}"
        )
    rows, axes = normalize(rows), normalize(axes)
    cosine = torch.linalg.vecdot(rows, axes)[:, None]
    rest = rows - cosine * axes
    spanning = torch.cat([torch.stack([axes, rest], dim=1), directions], dim=1)
    basis, triangle = torch.linalg.qr(spanning.mT)
    # of each pair of opposite vectors the one that Gram and Schmidt's method gives
    signs = torch.where(triangle.diagonal(dim1=1, dim2=2) < 0, -1.0, 1.0).to(rows)
    corners = to_device(simplex_corners(num_points)[1:].to(rows.dtype), rows.device)
    around = rest.norm(dim=1)[:, None, None] * corners
    weights = torch.cat([cosine[:, None].expand(-1, num_points, 1), around], dim=2)
    return (weights * signs[:, None]) @ basis.mT
