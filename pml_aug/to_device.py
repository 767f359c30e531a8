"""Transfers of tensors between devices without needless synchronisation."""

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on `device`. The host waits for a copy from an accelerator, but not for a copy to one.

    With PyTorch's default, `non_blocking=False`, the host waits in both directions until the accelerator has finished
    all earlier work.

    Example:
        >>> to_device(torch.tensor([1, 2]), torch.device("cpu"))
        tensor([1, 2])
    """
    return tensor.to(device, non_blocking=tensor.device.type == "cpu")
