"""Random batches for tests of losses."""

import torch
from torch import Tensor


def random_batch(
    size: int = 12, num_classes: int = 4, width: int = 8, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Normally distributed rows (size, width), with the labels 0, 1, ..., num_classes - 1, 0, 1, ..."""
    return torch.randn(size, width, dtype=dtype), torch.arange(size) % num_classes
