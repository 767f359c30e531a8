"""Reflections of embeddings (Symmetrical Synthesis)."""

import torch
from torch import Tensor

MIN_SQUARE = 1e-24  # of the length of an axis


def mirror(points: Tensor, axes: Tensor, scale_to_axis: bool = False) -> Tensor:
    r"""Each point reflected at its axis, which keeps its length and its inner product with the axis.

    .. math:: \mathrm{mirror}(p; a) = 2 \frac{\langle p, a \rangle}{|a|^2} a - p

    Args:
        points: :math:`p`.
        axes: :math:`a`; a zero axis gives -p.
        scale_to_axis: give each result the length of its axis.

    Shapes:
        (P, D), (P, D) -> (P, D)

    Source: Gu and Ko, "Symmetrical Synthesis for Deep Metric Learning", AAAI 2020, section 3;
    github.com/clovaai/symmetrical-synthesis. There, a zero axis gives NaN.

    Example:
        >>> mirror(torch.tensor([[1.0, 1.0]]), torch.tensor([[2.0, 0.0]])).tolist()
        [[1.0, -1.0]]
    """
    square = axes.square().sum(dim=1, keepdim=True)
    reflected = 2 * (points * axes).sum(dim=1, keepdim=True) / square.clamp_min(MIN_SQUARE) * axes - points
    if not scale_to_axis:
        return reflected
    return reflected * (square / points.square().sum(dim=1, keepdim=True).clamp_min(MIN_SQUARE)).sqrt()


def mirror_weights(squares: Tensor, product: Tensor, scale_to_axis: bool = False) -> tuple[Tensor, Tensor]:
    """The two mirrors of each pair of rows as weighted sums of both, and their squared lengths.

    The first is the second row at the first one, the second is the first row at the second one.

    Args:
        squares: squared lengths of the first and second rows.
        product: inner products of both.
        scale_to_axis: as of :func:`mirror`.

    Shapes:
        (2, P), (P,) -> weights of the first and second rows (2, 2, P), and squared lengths (2, P)

    Example:
        >>> weights, squares = mirror_weights(torch.tensor([[4.0], [2.0]]), torch.tensor([2.0]))  # of the example above
        >>> weights[:, 0, 0].tolist(), squares[0].tolist()
        ([1.0, -1.0], [2.0])
    """
    along = 2 * product / squares.clamp_min(MIN_SQUARE)
    back = -torch.ones_like(product)
    weights = torch.stack([torch.stack([along[0], back]), torch.stack([back, along[1]])])
    lengths = squares.flip(0)
    if not scale_to_axis:
        return weights, lengths
    return weights * (squares / lengths.clamp_min(MIN_SQUARE)).sqrt(), squares
