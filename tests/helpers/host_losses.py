"""Constructors for every loss of the host library, and groups of losses from the table of facts.

A loss of a new release joins all of the groups by its entry in pml_aug.host.losses.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from pytorch_metric_learning import losses
from pytorch_metric_learning.losses import BaseMetricLossFunction

from pml_aug import distances, miners, wrappers
from pml_aug.host import LOSSES, CopyMode

EXPORTED = {name for name, kind in vars(losses).items() if isinstance(kind, type)}
NO_LOSSES = {  # they hold losses
    "CrossBatchMemory": lambda: losses.CrossBatchMemory(losses.ContrastiveLoss(), embedding_size=4),
    "MultipleLosses": lambda: losses.MultipleLosses([losses.ContrastiveLoss()]),
    "SelfSupervisedLoss": lambda: losses.SelfSupervisedLoss(losses.ContrastiveLoss()),
}
ABSTRACT = {
    "BaseLossWrapper",
    "BaseMetricLossFunction",
    "EmbeddingRegularizerMixin",
    "GenericPairLoss",
    "WeightRegularizerMixin",
}
KINDS = {kind.__name__: kind for kind in LOSSES}
SMALL = {  # options for batches of a few rows
    "ManifoldLoss": {"K": 4},
    "RankedListLoss": {"Tn": 5},
    "SoftTripleLoss": {"centers_per_class": 3},
}


def make_loss(name: str, num_classes: int, embedding_size: int, **options: Any) -> BaseMetricLossFunction:
    """The loss of that name, with values for the arguments that its constructors require."""
    sizes = {
        "num_classes": num_classes,
        "embedding_size": embedding_size,
        "descriptors_dim": embedding_size,
        "l": embedding_size,
        "margin": 0.4,
        "Tn": 1,
    }
    required = {
        parameter.name
        for kind in KINDS[name].__mro__
        if "__init__" in vars(kind)
        for parameter in inspect.signature(kind.__init__).parameters.values()
        if parameter.default is parameter.empty and parameter.name in sizes
    }
    return KINDS[name](**{argument: sizes[argument] for argument in required} | SMALL.get(name, {}) | options)


def makers(num_classes: int, embedding_size: int) -> dict[str, Callable[..., BaseMetricLossFunction]]:
    """For every loss, a function of its options."""
    return {name: partial(make_loss, name, num_classes, embedding_size) for name in KINDS}


def reason_against(loss: str, user: str) -> str | None:
    """Why the class of pml_aug called `user` refuses the loss; None if it does not."""
    (kind,) = {getattr(package, user) for package in (distances, miners, wrappers) if hasattr(package, user)}
    return LOSSES[KINDS[loss]].reason_against(kind)


def accepted_by(user: str) -> list[str]:
    """The losses that the class of pml_aug called `user` accepts."""
    return [name for name in KINDS if reason_against(name, user) is None]


def refused_by(user: str) -> dict[str, str]:
    """The losses that it refuses, with the reasons."""
    reasons = {name: reason_against(name, user) for name in KINDS}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def with_proxies() -> list[str]:
    """The losses that have proxies of their classes."""
    return [name for name, kind in KINDS.items() if LOSSES[kind].proxies is not None]


def by_copy_mode(mode: CopyMode) -> list[str]:
    """The losses that IntraClassAdaptiveAugmentation accepts and gives copies in that mode."""
    return [name for name in accepted_by("IntraClassAdaptiveAugmentation") if LOSSES[KINDS[name]].copies is mode]
