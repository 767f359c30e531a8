"""Tensors brought to where the work is."""

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on `device`. What the host sends to an accelerator it does not wait for, what comes back it does.

    PyTorch's own default waits both ways, until all that the accelerator was given before is done.

    Example:
        >>> to_device(torch.tensor([1, 2]), torch.device("cpu"))
        tensor([1, 2])
    """
    return tensor.to(device, non_blocking=tensor.device.type == "cpu")
