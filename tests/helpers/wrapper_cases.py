"""Every exported wrapper, and how it is constructed around a loss. A new wrapper joins by being exported."""

import inspect
from typing import Any

import torch
from pytorch_metric_learning import losses
from pytorch_metric_learning.losses import BaseMetricLossFunction

from pml_aug import wrappers
from pml_aug.wrappers import LossWrapper

EXPORTED = [getattr(wrappers, name) for name in wrappers.__all__]
WRAPPERS: list[type[LossWrapper]] = [
    kind for kind in EXPORTED if issubclass(kind, LossWrapper) and kind is not LossWrapper
]

SMALL: dict[type[LossWrapper], dict[str, Any]] = {  # options for rows of eight dimensions
    wrappers.SphericalEmbeddingExpansion: {"num_points": 3},
}
FAST: dict[type[LossWrapper], dict[str, Any]] = {  # options with which a few small batches show what a wrapper does
    wrappers.DenselyAnchoredSampling: {"shift": 1.0},
    wrappers.MemoryBasedVirtualClasses: {"num_steps": 2, "step_gap": 0},
}


def wrapped(
    kind: type[torch.nn.Module],
    loss: BaseMetricLossFunction,
    num_classes: int,
    embedding_size: int,
    prepared: bool = True,
    **options: Any,
) -> Any:
    """The wrapper around `loss`, with the sizes that it requires; prepared, in the state in which it augments."""
    sizes = {"num_classes": num_classes, "embedding_size": embedding_size, "memory_size": 64}
    accepted = inspect.signature(kind).parameters
    wrapper = kind(
        loss, **{name: size for name, size in sizes.items() if name in accepted}, **SMALL.get(kind, {}) | options
    )
    if isinstance(wrapper, LossWrapper) and prepared:
        rows = torch.randn(60, embedding_size, generator=torch.Generator().manual_seed(1))
        wrapper.prepare(rows, torch.arange(60) % num_classes)
    return wrapper


def example_of(kind: type[LossWrapper], num_classes: int, embedding_size: int, prepared: bool = True) -> LossWrapper:
    """The wrapper around MultiSimilarityLoss or, if it refuses that, around ProxyAnchorLoss."""
    options = FAST.get(kind, {})
    try:
        return wrapped(kind, losses.MultiSimilarityLoss(), num_classes, embedding_size, prepared, **options)
    except ValueError:
        loss = losses.ProxyAnchorLoss(num_classes, embedding_size)
        return wrapped(kind, loss, num_classes, embedding_size, prepared, **options)
