"""Gaussian copies of embeddings with the variance of their class (Intra-class Adaptive Augmentation)."""

import torch
from torch import Tensor

from pml_aug.synthesis.synthetic import Synthetic
from pml_aug.validation import check_choice, check_integer, check_number

NOISE_STDS = ("sqrt", "repeated_sqrt")


def class_gaussian_copies(
    embeddings: Tensor,
    labels: Tensor,
    variance: Tensor,
    strength: float = 0.8,
    num_copies: int = 3,
    noise_std: str = "sqrt",
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Synthetic:
    r"""Copies of every embedding with noise of its class's variance: the first copy of each row, then the second, ...

    .. math:: z^m_i = x_i + \sqrt\lambda\, \sigma_{y_i} \odot \epsilon^m_i, \quad \epsilon \sim \mathcal N(0, I)

    Gradients reach each embedding through all of its copies. A class of variance 0, such as one never seen or seen
    once, gives exact duplicates.

    Args:
        embeddings: :math:`x`, not normalised.
        labels: :math:`y`, in 0 .. C - 1.
        variance: :math:`\sigma^2` of each class, at least 0.
        strength: :math:`\lambda`, at least 0; multiplies the variance.
        num_copies: M, copies per row, at least 0.
        noise_std: "sqrt" (the same standard deviation for each copy: the paper) or "repeated_sqrt" (copy m has
            :math:`\sigma^{2 / 2^m}`: the official code takes the square root again for every copy, so that small
            variances are far too large from the second copy on).
        noise: :math:`\epsilon`, used instead of random numbers.
        generator: source of the noise, which is drawn on its device; by default torch's global generator.

    Shapes:
        (N, D), (N,), (C, D), noise (M, N, D) -> Synthetic of M * N points; row m * N + i is a copy of row i

    Raises:
        TypeError: an argument of another type.
        ValueError: an argument out of range, or noise of another shape.

    Source: Fu et al., "Intra-class Adaptive Augmentation with Neighbor Correction for Deep Metric Learning", TMM
    2022, equation 17; the order of the rows is the official code's.

    Example:
        >>> variance, noise = torch.tensor([[4.0, 0.0]]), torch.ones(2, 1, 2)
        >>> copies = class_gaussian_copies(torch.zeros(1, 2), torch.tensor([0]), variance, 1.0, 2, noise=noise)
        >>> copies.embeddings.tolist(), copies.source.tolist()
        ([[2.0, 0.0], [2.0, 0.0]], [0, 0])
    """
    check_number("strength", strength, minimum=0)
    check_integer("num_copies", num_copies, minimum=0)
    check_choice("noise_std", noise_std, NOISE_STDS)
    shape = (num_copies, *embeddings.shape)
    if noise is not None and noise.shape != shape:
        raise ValueError(f"`noise` must be of shape {shape}, (copies, rows, dimensions), but got {tuple(noise.shape)}")
    if noise is None:
        device = embeddings.device if generator is None else generator.device
        noise = torch.randn(shape, dtype=embeddings.dtype, device=device, generator=generator)
    std = variance.detach().index_select(0, labels).to(embeddings.dtype).sqrt()
    if noise_std == "repeated_sqrt" and num_copies > 0:
        std = torch.stack([std ** (0.5**copy) for copy in range(num_copies)])
    copies = torch.addcmul(embeddings, noise.to(embeddings), std, value=strength**0.5)
    source = torch.arange(len(embeddings), device=embeddings.device).repeat(num_copies)
    return Synthetic(copies.reshape(-1, embeddings.shape[1]), labels.repeat(num_copies), source)
