"""Measured upper limits of the machine: arithmetic, memory bandwidth, kernel launches."""

from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .timing import interleaved_medians

SIDE = {"cpu": 1024, "cuda": 8192}  # of the matrices multiplied
NUMBERS = {"cpu": 1 << 24, "cuda": 1 << 29}  # copied, four bytes each
ROUNDS = 7


class Roofline(NamedTuple):
    """Limits of one device, with PyTorch's current number of threads."""

    flops: float  # per second, of a large matrix product in the training's precision
    bytes: float  # per second, read and written by a copy
    launch: float  # seconds from one small kernel to the next


def measure_roofline(device: torch.device, precision: torch.dtype) -> Roofline:
    """Medians of a few rounds; takes a second or two."""
    side = SIDE.get(device.type, SIDE["cpu"])
    matrix = torch.ones(side, side, device=device, dtype=precision)
    product = torch.empty_like(matrix)
    source = torch.ones(NUMBERS.get(device.type, NUMBERS["cpu"]), device=device)
    target = torch.empty_like(source)
    small = torch.zeros(1, device=device)

    def launches() -> None:
        for _ in range(1000):
            small.add_(1)

    calls = {
        "product": lambda: torch.mm(matrix, matrix, out=product),
        "copy": lambda: target.copy_(source),
        "launches": launches,
    }
    seconds = interleaved_medians(calls, ROUNDS, warm_up=2, device=str(device))
    return Roofline(2 * side**3 / seconds["product"], 2 * source.nbytes / seconds["copy"], seconds["launches"] / 1000)


def training_flops(trunk: nn.Module, images: torch.Tensor) -> int:
    """Floating-point operations of forward and backward, as PyTorch counts products and convolutions."""
    with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter:
        trunk(images).sum().backward()
    trunk.zero_grad()
    return counter.get_total_flops()
