"""Class statistics of Intra-class Adaptive Augmentation, refreshed by a pass over a training set in any loop."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_metric_learning.utils import common_functions as c_f
from torch import Tensor, distributed, nn

from pml_aug.statistics import ClassStatistics
from pml_aug.to_device import to_device
from pml_aug.validation import check_flag
from pml_aug.wrappers import IntraClassAdaptiveAugmentation


def refresh_from_loader(
    loss: nn.Module,
    model: nn.Module,
    loader: Iterable[Any],
    device: torch.device | str | None = None,
    sharded: bool = False,
) -> None:
    """Refresh every IntraClassAdaptiveAugmentation in a loss with the embeddings of a whole training set.

    This is what :func:`refresh_statistics` does in PML's trainers, for any other loop: one pass without gradient, with
    the model in training mode except for BatchNorm, which uses its running statistics and does not update them. All
    modes are restored afterwards, also after an error. Until the first refresh the wrapper is the loss that it wraps.

    Args:
        loss: the wrapper, or a module that contains it, such as CrossBatchMemory or DistributedLossWrapper around it.
        model: from images to embeddings.
        loader: the batches of one pass over the training set, pairs (images, labels) with the labels that the loss
            gets. A generator serves too: `((batch["pixels"], batch["labels"]) for batch in loader)`.
        device: where the images go; None: to that of the model's first parameter. Images that are not a tensor reach
            the model as they are.
        sharded: whether each process has its own part of the training set, as with DistributedSampler; their statistics
            are then merged, so that all processes get the same ones. All processes must call. Without it, give each
            process the whole training set. Rows that a sampler repeats to make the parts equal count twice.

    Raises:
        TypeError: `sharded` is not True or False.
        ValueError: no such wrapper in `loss`; no batch in `loader`, or one that is no pair; embeddings or labels that
            the statistics refuse, which then keep their values.

    Source: Fu et al., "Intra-class Adaptive Augmentation with Neighbor Correction for Deep Metric Learning", TMM 2022.
    The official code refreshes before epochs 31, 33, ... of 100 and lowers the strength, see :func:`strength_at`.

    Example:
        >>> from pytorch_metric_learning.losses import ContrastiveLoss
        >>> loss = IntraClassAdaptiveAugmentation(ContrastiveLoss(), num_classes=2, embedding_size=8)
        >>> images, labels = torch.randn(6, 4), torch.arange(6) % 2
        >>> refresh_from_loader(loss, nn.Linear(4, 8), [(images[:3], labels[:3]), (images[3:], labels[3:])])
        >>> loss.statistics.count.tolist()
        [3, 3]
    """
    check_flag("sharded", sharded)
    wrappers = [module for module in loss.modules() if isinstance(module, IntraClassAdaptiveAugmentation)]
    if not wrappers:
        raise ValueError(
            f"refresh_from_loader found no IntraClassAdaptiveAugmentation in {type(loss).__name__}: wrap the loss with "
            "it, or leave the refresh out"
        )
    if device is None:
        device = next((parameter.device for parameter in model.parameters()), None)

    def embed(images: Any) -> Tensor:
        moved = to_device(images, torch.device(device)) if isinstance(images, Tensor) and device is not None else images
        embeddings: Tensor = model(moved)
        return embeddings

    with training_with_fixed_batchnorm(model):
        refresh_all(wrappers, (_pair(batch) for batch in loader), embed, sharded)


@torch.no_grad()
def refresh_all(
    wrappers: list[IntraClassAdaptiveAugmentation],
    batches: Iterable[tuple[Any, Tensor]],
    embed: Callable[[Any], Tensor],
    sharded: bool = False,
) -> None:
    """Refresh all wrappers from one pass over batches (images, labels)."""
    seen = [wrapper.fresh_statistics() for wrapper in wrappers]
    num_batches = 0
    for images, labels in batches:
        embeddings = embed(images)
        for statistics in seen:
            statistics.to(embeddings.device)
            statistics.update(embeddings, labels)
        num_batches += 1
    if num_batches == 0:
        raise ValueError("the loader gave no batch to refresh the statistics from: give one that can be read again")
    for wrapper, statistics in zip(wrappers, seen, strict=True):
        wrapper.refresh_from(_of_all_processes(statistics) if sharded else statistics)


@contextmanager
def training_with_fixed_batchnorm(*models: nn.Module, frozen: Iterable[nn.Module] = ()) -> Iterator[None]:
    """Put models in training mode, frozen ones and BatchNorm in evaluation mode, and restore all modes on exit."""
    frozen = tuple(frozen)
    modes = {module: module.training for model in (*models, *frozen) for module in model.modules()}
    try:
        for model in (*models, *frozen):
            model.train(not any(model is each for each in frozen))
            model.apply(c_f.set_layers_to_eval("BatchNorm"))
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _pair(batch: Any) -> tuple[Any, Tensor]:
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        found = f"a {type(batch).__name__}" + (f" of {len(batch)}" if isinstance(batch, (tuple, list)) else "")
        raise ValueError(
            f"`loader` must give pairs (images, labels), but gave {found}: pass a generator that makes pairs of it"
        )
    return batch[0], batch[1]


def _of_all_processes(own: ClassStatistics) -> ClassStatistics:
    """The statistics of the rows that all processes have seen; the same in each."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return own
    merged = ClassStatistics(own.num_classes, own.embedding_size, momentum=1.0).to(own.mean)
    parts: dict[str, list[Tensor]] = {}
    for name in ("mean", "variance", "count"):
        values: Tensor = getattr(own, name)
        parts[name] = [torch.empty_like(values) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts[name], values)
    for mean, variance, count in zip(*parts.values(), strict=True):
        part = ClassStatistics(own.num_classes, own.embedding_size, momentum=1.0).to(own.mean)
        part.load_state_dict({"mean": mean, "variance": variance, "count": count})
        merged.merge(part)
    return merged
