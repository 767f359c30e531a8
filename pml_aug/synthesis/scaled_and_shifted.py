"""Copies of embeddings with scaled channels and a shift (Densely-Anchored Sampling)."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pml_aug.synthesis.synthetic import Synthetic


def scaled_and_shifted(
    embeddings: Tensor, labels: Tensor, channels: Tensor, scale: Tensor, shift: Tensor, to_unit: bool = True
) -> Synthetic:
    r"""Copies with some channels scaled, and shifted: the first copy of each row, then the second, ...

    .. math:: v'^t_i = n(s^t_i \odot v_i + \tau^t_i), \quad t = 1, \dots, T

    where :math:`s^t_i` is 1 but in the given channels. Gradients reach each embedding through all of its copies.

    Args:
        embeddings: :math:`v`.
        labels: class of each row.
        channels: K different channels for each copy of each row.
        scale: factors of these channels.
        shift: :math:`\tau`.
        to_unit: normalise the copies; else n is left out.

    Shapes:
        (N, D), (N,), (T, N, K), (T, N, K), (T, N, D) -> Synthetic of T * N points; row t * N + i is a copy of row i

    Source: Liu et al., "DAS: Densely-Anchored Sampling for Deep Metric Learning", ECCV 2022, equations 3 to 13;
    github.com/lizhaoliu-Lec/DAS. The order of the rows is the official one.

    Example:
        >>> rows, channels = torch.tensor([[1.0, 2.0]]), torch.tensor([[[1]]])
        >>> scale, shift = torch.tensor([[[2.0]]]), torch.tensor([[[0.5, 0.0]]])
        >>> scaled_and_shifted(rows, torch.tensor([0]), channels, scale, shift, to_unit=False).embeddings.tolist()
        [[1.5, 4.0]]
    """
    num_copies, rows = len(channels), embeddings.to(shift)
    scaled = torch.addcmul(shift.gather(2, channels), scale.to(shift), rows.expand_as(shift).gather(2, channels))
    copies = (rows + shift).scatter_(2, channels, scaled).flatten(0, 1)
    source = torch.arange(len(embeddings), device=embeddings.device).repeat(num_copies)
    return Synthetic(normalize(copies) if to_unit else copies, labels.repeat(num_copies), source)
