"""Mixtures of two vectors that stand for a class of their own (Proxy Synthesis)."""

import torch
from torch import Tensor

MIN_LENGTH = 1e-12  # as in torch.nn.functional.normalize


def mix(first: Tensor, second: Tensor, mixing: float | Tensor) -> Tensor:
    r"""The mixture of two directions, on the scale of the two vectors.

    .. math::
        \tilde x = \Bigl(\lambda \frac{a}{|a|} + (1 - \lambda) \frac{b}{|b|}\Bigr)
        \bigl(\lambda |a| + (1 - \lambda) |b|\bigr)

    The official code brings the first factor to unit length; a loss that normalises its inputs cannot tell the
    difference. The second factor is for losses that look at lengths (SphereFace, dot products).

    Args:
        first: :math:`a`.
        second: :math:`b`.
        mixing: :math:`\lambda` in [0, 1], one for all rows or a column of one a row.

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
    r"""One draw of :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)`, made on the CPU so that no device waits.

    Args:
        alpha: above 0; small values give mixtures close to one of the two ends.
        generator: source of the draw, which is made on its device: an accelerator is then waited for. Torch's global
            one of the CPU by default.

    Example:
        >>> 0 <= draw_mixing(0.4) <= 1
        True
    """
    pair = torch.full((2,), alpha, dtype=torch.float64, device="cpu" if generator is None else generator.device)
    return float(torch._sample_dirichlet(pair, generator=generator)[0])
