"""Gaussian copies of embeddings, spread as their class is (Intra-class Adaptive Augmentation)."""

import torch
from torch import Tensor

from pml_aug.synthesis.synthetic import Synthetic

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
    r"""Copies of every embedding with noise of its class's variance, copy by copy: first one of each row.

    .. math:: z^m_i = x_i + \sqrt\lambda\, \sigma_{y_i} \odot \epsilon^m_i, \quad \epsilon \sim \mathcal N(0, I)

    Gradients reach each embedding through all of its copies. A class of variance 0, as a class never seen or seen
    once, gives exact duplicates.

    Args:
        embeddings: :math:`x`, not normalised.
        labels: :math:`y`, in 0 .. C - 1.
        variance: :math:`\sigma^2` of each class, at least 0.
        strength: :math:`\lambda`, at least 0; multiplies the variance.
        num_copies: M, copies of each row; 0 gives none.
        noise_std: "sqrt" (the same standard deviation for each copy: the paper) or "repeated_sqrt" (copy m has
            :math:`\sigma^{2 / 2^m}`, as the official code takes the root again for every copy; from the second on
            small variances come out far too large).
        noise: :math:`\epsilon`, to use instead of a draw.
        generator: source of the noise, which is drawn on its device; torch's global one by default.

    Shapes:
        (N, D), (N,), (C, D), noise (M, N, D) -> Synthetic of M * N points; row m * N + i is a copy of row i

    Source: Fu et al., "Intra-class Adaptive Augmentation with Neighbor Correction for Deep Metric Learning", TMM
    2022, equation 17; the order of the rows is the official code's.

    Example:
        >>> variance, noise = torch.tensor([[4.0, 0.0]]), torch.ones(2, 1, 2)
        >>> copies = class_gaussian_copies(torch.zeros(1, 2), torch.tensor([0]), variance, 1.0, 2, noise=noise)
        >>> copies.embeddings.tolist(), copies.source.tolist()
        ([[2.0, 0.0], [2.0, 0.0]], [0, 0])
    """
    if noise_std not in NOISE_STDS:
        raise ValueError(f"Expected argument `noise_std` to be one of {NOISE_STDS} but got {noise_std!r}")
    if num_copies < 0:
        raise ValueError(f"num_copies must be at least 0, but got {num_copies}")
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
