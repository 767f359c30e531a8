"""Hook for PML's trainers that refreshes the class statistics of Intra-class Adaptive Augmentation."""

from collections.abc import Iterator
from typing import Any

from pytorch_metric_learning.trainers import BaseTrainer
from pytorch_metric_learning.utils import common_functions as c_f
from torch import Tensor, nn
from torch.utils.data import Dataset
from torch.utils.hooks import RemovableHandle

from pml_aug.hooks.refresh_from_loader import refresh_all, training_with_fixed_batchnorm
from pml_aug.hooks.strength_schedule import strength_at
from pml_aug.hooks.wrappers_of_trainer import Hook, wrappers_of
from pml_aug.validation import check_flag, check_integer
from pml_aug.wrappers import IntraClassAdaptiveAugmentation


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
    """An end-of-epoch hook that refreshes every IntraClassAdaptiveAugmentation among the trainer's losses.

    At the end of an epoch it estimates the statistics for the next one: from the whole training set, in order, with
    the training transform, without gradient, and with the models in training mode except for BatchNorm, which uses its
    running statistics and does not update them. Before the first refresh the wrapper returns the loss that it wraps.
    Wrappers inside other losses are found too. Each refresh costs one forward pass over the training set.

    Args:
        first_epoch: the first epoch with copies, at least 2; epochs count from 1. For copies from epoch 1 on, call
            the wrapper's `refresh` before the training.
        every: number of epochs between two refreshes, at least 1.
        num_epochs: length of the whole training, for the schedule of the strength, see :func:`strength_at`; None keeps
            the strength constant, as in the paper.
        dataset: data set to embed; None uses the trainer's.
        batch_size: images per batch, at least 1; None uses the trainer's.
        num_workers: worker processes of the data loader, at least 0; None uses the trainer's.
        from_training: use the embeddings that the wrapper got during the epoch instead of a pass over the data set.
            This costs no pass, but the embeddings come from changing weights, in the proportions of the sampler, and
            with BatchNorm in training mode: a deviation from the method. An epoch that the hook has not seen from its
            start, such as the first after a resumption, refreshes nothing.
        then: another hook, called afterwards with the trainer; its return value is returned, so it can end the
            training.

    Raises:
        TypeError: an argument of another type.
        ValueError: an argument out of range; in a call, a trainer without such a wrapper among its losses.

    Source: Fu et al., "Intra-class Adaptive Augmentation with Neighbor Correction for Deep Metric Learning", TMM 2022.
    The default epochs are the official code's (31, 33, ...; pass `num_epochs` for its schedule of the strength). The
    paper starts at once and refreshes every 4 epochs.

    Example:
        >>> hook = refresh_statistics(first_epoch=3, every=1)  # for MetricLossOnly(..., end_of_epoch_hook=hook)
    """
    check_flag("from_training", from_training)
    earliest = 3 if from_training else 2
    check_integer(
        "first_epoch",
        first_epoch,
        minimum=earliest,
        hint=f"with from_training={from_training}, no earlier epoch has statistics of the one before",
    )
    check_integer("every", every, minimum=1)
    optional = {"num_epochs": (num_epochs, 1), "batch_size": (batch_size, 1), "num_workers": (num_workers, 0)}
    for name, (number, minimum) in optional.items():
        if number is not None:
            check_integer(name, number, minimum=minimum)
    if from_training and not all(given is None for given in (dataset, batch_size, num_workers)):
        raise ValueError("with from_training=True no data set is read: leave out dataset, batch_size and num_workers")

    def is_due(epoch: int) -> bool:
        return epoch >= first_epoch and (epoch - first_epoch) % every == 0

    recorders: list[_Recorder] = []

    def hook(trainer: BaseTrainer) -> Any:
        coming = trainer.epoch + 1
        wrappers = wrappers_of(trainer, IntraClassAdaptiveAugmentation, "refresh_statistics")
        for wrapper in wrappers:
            wrapper.awaits_refresh = True
        if is_due(coming) and not from_training:
            _refresh_from_dataset(trainer, wrappers, dataset, batch_size, num_workers)
        while recorders:
            recorders.pop().finish()
        if from_training and is_due(coming + 1):
            recorders.extend(_Recorder(wrapper) for wrapper in wrappers)
        if num_epochs is not None:
            for wrapper in wrappers:
                wrapper.strength = strength_at(coming, num_epochs, wrapper.initial_strength)
        return None if then is None else then(trainer)

    return hook


class _Recorder:
    """Collects the statistics of the embeddings of a wrapper's calls; `finish` refreshes the wrapper from them."""

    def __init__(self, wrapper: IntraClassAdaptiveAugmentation) -> None:
        for hook in list(wrapper._forward_hooks.values()):  # of a training that failed during an epoch
            if isinstance(getattr(hook, "__self__", None), _Recorder):
                hook.__self__.handle.remove()
        self.wrapper = wrapper
        self.seen = wrapper.fresh_statistics()
        self.handle: RemovableHandle = wrapper.register_forward_hook(self._record, with_kwargs=True)

    def _record(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], __: Tensor) -> None:
        given = dict(zip(("embeddings", "labels"), args, strict=False)) | kwargs
        self.seen.to(given["embeddings"].device)
        self.seen.update(given["embeddings"], given["labels"])

    def finish(self) -> None:
        self.handle.remove()
        self.wrapper.refresh_from(self.seen)


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

    def batches() -> Iterator[tuple[Any, Tensor]]:
        for batch in loader:
            data, labels = trainer.data_and_label_getter(batch)
            yield data, c_f.process_label(labels, trainer.label_hierarchy_level, trainer.label_mapper)

    frozen = {name for name in trainer.models if name in trainer.freeze_these}
    trained = (model for name, model in trainer.models.items() if name not in frozen)
    with training_with_fixed_batchnorm(*trained, frozen=(trainer.models[name] for name in frozen)):
        refresh_all(wrappers, batches(), trainer.compute_embeddings)
