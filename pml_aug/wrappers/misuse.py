"""Warnings, once per process, about trainings that run but are likely not what their author meant."""

import warnings
from functools import cache
from typing import Any

import torch
from torch import nn

CALLS_BEFORE_CHECK = 100  # more than the steps over which gradients are usually accumulated


def warn_if_processes_differ(wrapper: Any, generator: torch.Generator | None) -> None:
    """Warn if a wrapper draws from torch's global generator in one of several processes.

    Args:
        wrapper: a LossWrapper.
        generator: the generator passed to the call.
    """
    if generator is None and torch.distributed.get_world_size() > 1 and wrapper.draws:
        warn_once(
            f"{type(wrapper).__name__} draws different synthetic points in each process, so that the parameters of a "
            "loss of the gathered batch, such as proxies, diverge between processes: use "
            "pml_aug.wrappers.DistributedLossWrapper instead of that of pytorch-metric-learning, or pass a `generator` "
            "with the same state in all processes"
        )


def versions_of(loss: nn.Module) -> frozenset[tuple[str, int, int]]:
    """Name, place and version of the values of each trainable parameter; an optimizer's step raises the version.

    No dict: PML's record keeper looks into every dict that a loss has as an attribute.
    """
    return frozenset(
        (name, parameter.data_ptr(), parameter._version)
        for name, parameter in loss.named_parameters()
        if parameter.requires_grad and parameter.is_leaf  # torch.func.functional_call replaces them by other tensors
    )


def warn_if_untrained(loss: nn.Module, earlier: frozenset[tuple[str, int, int]]) -> None:
    """Warn if parameters of `loss` have a gradient, but their values have not changed since `earlier`."""
    parameters = dict(loss.named_parameters())
    names = sorted(name for name, _, _ in versions_of(loss) & earlier if parameters[name].grad is not None)
    if names:
        warn_once(
            f"the parameters {', '.join(names)} of {type(loss).__name__} have a gradient but have not changed in "
            f"{CALLS_BEFORE_CHECK} calls: pass `loss.parameters()` to an optimizer"
        )


@cache
def warn_once(message: str) -> None:
    """Warn, but not again with the same message."""
    warnings.warn(message, stacklevel=4)
