"""A hook for PML's trainers that keeps the class statistics of Intra-class Adaptive Augmentation up to date."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_metric_learning.trainers import BaseTrainer
from pytorch_metric_learning.utils import common_functions as c_f
from torch import Tensor, nn
from torch.utils.data import Dataset
from torch.utils.hooks import RemovableHandle

from pml_aug.hooks.strength_schedule import strength_at
from pml_aug.statistics import ClassStatistics
from pml_aug.wrappers import IntraClassAdaptiveAugmentation

Hook = Callable[[BaseTrainer], Any]


def refresh_statistics(
    first_epoch: int = 31,
    every: int = 2,
    num_epochs: int | None = None,
    dataset: Dataset | None = None,
    batch_size: int | None = None,
    num_workers: int | None = None,
    from_training: bool = False,
    then: Hook | None = None,
) -> Hook:
    """An end-of-epoch hook that refreshes each IntraClassAdaptiveAugmentation of the trainer's losses.

    The statistics are taken at the end of an epoch for the next one: from the whole training set, in order, through
    its own transform, by the models as they train, without gradient, except that BatchNorm uses its running
    statistics and leaves them alone. Until the first time the wrapped loss is the bare one. Wrappers are found inside
    other losses too. That is one more forward pass over the training set each time.

    Args:
        first_epoch: the first epoch with copies, at least 2; epochs count from 1. For copies from epoch 1 on, call
            the wrapper's own `refresh` before the training.
        every: epochs from one time to the next, at least 1.
        num_epochs: of the whole training, after which the strength falls as :func:`strength_at` has it; None leaves
            the strength alone, as in the paper.
        dataset: None takes the trainer's.
        batch_size: images at a time; None takes the trainer's.
        num_workers: of the data loader; None takes the trainer's.
        from_training: take what the wrapper was given during the epoch that ends, in place of a pass over the data
            set. It costs no pass, but the embeddings are of changing weights, in the sampler's proportions and with
            BatchNorm in training: a deviation from the method. An epoch not seen from its beginning, as the one after
            a resumption may be, refreshes nothing.
        then: another hook, called afterwards with the trainer; its answer is returned, so that it may stop the
            training.

    Raises:
        ValueError: an argument out of range; in a call, a trainer without such a wrapper among its losses.

    Source: Fu et al., "Intra-class Adaptive Augmentation with Neighbor Correction for Deep Metric Learning", TMM 2022.
    By default the official code's epochs (31, 33, ...; pass `num_epochs` for its schedule of the strength). The paper
    starts at once and refreshes every 4 epochs.

    Example:
        >>> hook = refresh_statistics(first_epoch=3, every=1)  # for MetricLossOnly(..., end_of_epoch_hook=hook)
    """
    earliest = 3 if from_training else 2
    if first_epoch < earliest:
        raise ValueError(
            f"first_epoch must be at least {earliest} with from_training={from_training}, as the hook is first called "
            f"at the end of epoch 1, but got {first_epoch}"
        )
    if every < 1:
        raise ValueError(f"every must be at least 1, but got {every}")
    if from_training and not all(given is None for given in (dataset, batch_size, num_workers)):
        raise ValueError("with from_training=True no data set is read: leave out dataset, batch_size and num_workers")

    def renews(epoch: int) -> bool:
        return epoch >= first_epoch and (epoch - first_epoch) % every == 0

    watched: list[_Watched] = []

    def hook(trainer: BaseTrainer) -> Any:
        coming = trainer.epoch + 1
        wrappers = _wrappers_of(trainer)
        if renews(coming) and not from_training:
            _refresh_from_dataset(trainer, wrappers, dataset, batch_size, num_workers)
        while watched:
            watched.pop().finish()
        if from_training and renews(coming + 1):
            watched.extend(_Watched(wrapper) for wrapper in wrappers)
        if num_epochs is not None:
            for wrapper in wrappers:
                wrapper.strength = strength_at(coming, num_epochs, wrapper.initial_strength)
        return None if then is None else then(trainer)

    return hook


class _Watched:
    """A wrapper whose embeddings are gathered as it is called, until `finish` refreshes it from them."""

    def __init__(self, wrapper: IntraClassAdaptiveAugmentation) -> None:
        self.wrapper = wrapper
        self.seen = wrapper.fresh_statistics()
        self.handle: RemovableHandle = wrapper.register_forward_pre_hook(self._gather, with_kwargs=True)

    def _gather(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = dict(zip(("embeddings", "labels"), args, strict=False)) | kwargs
        self.seen.to(given["embeddings"].device)
        self.seen.update(given["embeddings"], given["labels"])

    def finish(self) -> None:
        self.handle.remove()
        self.wrapper.refresh_from(self.seen)


def _wrappers_of(trainer: BaseTrainer) -> list[IntraClassAdaptiveAugmentation]:
    modules = (module for loss in trainer.loss_funcs.values() for module in loss.modules())
    found = [module for module in modules if isinstance(module, IntraClassAdaptiveAugmentation)]
    if not found:
        kinds = {name: type(loss).__name__ for name, loss in trainer.loss_funcs.items()}
        raise ValueError(
            f"refresh_statistics found no IntraClassAdaptiveAugmentation among the trainer's loss_funcs {kinds}: wrap "
            "the loss with it, or leave the hook out"
        )
    return found


def _refresh_from_dataset(
    trainer: BaseTrainer,
    wrappers: list[IntraClassAdaptiveAugmentation],
    dataset: Dataset | None,
    batch_size: int | None,
    num_workers: int | None,
) -> None:
    loader = c_f.get_eval_dataloader(
        trainer.dataset if dataset is None else dataset,
        trainer.batch_size if batch_size is None else batch_size,
        trainer.dataloader_num_workers if num_workers is None else num_workers,
        trainer.collate_fn,
    )
    seen: list[ClassStatistics] = [wrapper.fresh_statistics() for wrapper in wrappers]
    with torch.no_grad(), _training_with_fixed_batchnorm(trainer):
        for batch in loader:
            data, labels = trainer.data_and_label_getter(batch)
            labels = c_f.process_label(labels, trainer.label_hierarchy_level, trainer.label_mapper)
            embeddings: Tensor = trainer.compute_embeddings(data)
            for statistics in seen:
                statistics.to(embeddings.device)
                statistics.update(embeddings, labels)
    for wrapper, statistics in zip(wrappers, seen, strict=True):
        wrapper.refresh_from(statistics)


@contextmanager
def _training_with_fixed_batchnorm(trainer: BaseTrainer) -> Iterator[None]:
    """The models in the mode they train in, but for BatchNorm in evaluation; their own modes afterwards."""
    modes = {module: module.training for model in trainer.models.values() for module in model.modules()}
    for name, model in trainer.models.items():
        model.train(name not in trainer.freeze_these)
        model.apply(c_f.set_layers_to_eval("BatchNorm"))
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
