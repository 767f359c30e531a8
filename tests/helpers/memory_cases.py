"""Batches and losses for a memory of earlier batches."""

import torch
from host_losses import accepted_by
from pytorch_metric_learning import losses

from pml_aug.wrappers import IntraClassAdaptiveAugmentation

C, D = 3, 4
AS_PML = sorted({*losses.CrossBatchMemory.supported_losses()} & {*accepted_by("CrossBatchMemory")})


def batches(number, size=6, dtype=torch.float32):
    for _ in range(number):
        yield torch.randn(size, D, dtype=dtype), torch.randint(C, (size,))


def adaptive(loss, **options):
    wrapper = IntraClassAdaptiveAugmentation(loss, C, D, **options)
    wrapper.refresh(torch.randn(60, D, generator=torch.Generator().manual_seed(6)), torch.arange(60) % C)
    return wrapper
