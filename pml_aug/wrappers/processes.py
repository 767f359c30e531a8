"""Warning about random numbers that differ between the processes of a distributed training."""

import warnings
from functools import cache
from inspect import signature
from typing import Any

import torch


def warn_if_processes_differ(wrapper: Any, generator: torch.Generator | None) -> None:
    """Warn once if a wrapper draws from torch's global generator in one of several processes.

    Args:
        wrapper: a LossWrapper; it draws by itself if its `wrapped` has a parameter `generator`.
        generator: what the call was given.
    """
    if generator is not None or not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return
    if torch.distributed.get_world_size() > 1 and "generator" in signature(wrapper.wrapped).parameters:
        _warn(type(wrapper).__name__)


@cache
def _warn(name: str) -> None:
    warnings.warn(
        f"{name} draws different synthetic points in each process, so that the parameters of a loss of the gathered "
        "batch, such as proxies, diverge between processes: use pml_aug.wrappers.DistributedLossWrapper instead of "
        "that of pytorch-metric-learning, or pass a `generator` with the same state in all processes",
        stacklevel=4,
    )
