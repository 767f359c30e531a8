"""Points on the segments between embeddings (Embedding Expansion)."""

import torch
from torch import Tensor

from pml_aug.validation import check_integer

UNIT_EPS = 1e-10  # added to the squared length, as in the official code's L2Normalization


def to_unit_length(points: Tensor) -> Tensor:
    """The rows divided by their length; a zero row stays zero, with a finite gradient.

    Args:
        points: rows of any length.

    Shapes:
        (..., D) -> (..., D)

    Example:
        >>> to_unit_length(torch.tensor([[8.0, 0.0], [0.0, 0.0]])).tolist()
        [[1.0, 0.0], [0.0, 0.0]]
    """
    return points * torch.rsqrt(points.square().sum(dim=-1, keepdim=True) + UNIT_EPS)


def interpolate(start: Tensor, end: Tensor, num_points: int, normalize: bool = True) -> Tensor:
    r"""Points that divide each segment into equal parts: first the points next to `start`, then the second ones, ...

    .. math:: g^k_i = \frac{(n + 1 - k)\, a_i + k\, b_i}{n + 1}, \quad k = 1, \dots, n

    Args:
        start: :math:`a`, one end of each segment.
        end: :math:`b`, the other end.
        num_points: :math:`n`, points per segment, at least 0.
        normalize: normalise the points to unit length.

    Shapes:
        (P, D), (P, D) -> (n * P, D); row (k - 1) * P + i lies on segment i

    Raises:
        TypeError: `num_points` is not an integer.
        ValueError: `num_points` is negative.

    Source: Ko and Gu, "Embedding Expansion", CVPR 2020, section 3; github.com/clovaai/embedding-expansion,
    embedding_aug.py. The order of the rows is the official one.

    Example:
        >>> interpolate(torch.zeros(1, 2), torch.tensor([[3.0, 0.0]]), num_points=2, normalize=False).tolist()
        [[1.0, 0.0], [2.0, 0.0]]
    """
    check_integer("num_points", num_points, minimum=0)
    steps = torch.arange(1, num_points + 1, device=start.device, dtype=start.dtype)[:, None, None]
    points = torch.lerp(start, end, steps / (num_points + 1)).reshape(-1, start.shape[1])
    return to_unit_length(points) if normalize else points
