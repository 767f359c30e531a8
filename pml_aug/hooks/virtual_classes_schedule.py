"""Hook for PML's trainers that lets memory-based virtual classes begin after some epochs."""

from typing import Any

from pytorch_metric_learning.trainers import BaseTrainer

from pml_aug.hooks.wrappers_of_trainer import Hook, wrappers_of
from pml_aug.validation import check_integer
from pml_aug.wrappers import MemoryBasedVirtualClasses


def start_virtual_classes(first_epoch: int = 41, then: Hook | None = None) -> Hook:
    """An end-of-epoch hook that sets `active` of every MemoryBasedVirtualClasses among the trainer's losses.

    It becomes True at the end of epoch `first_epoch` - 1. The wrappers must have been constructed with `active=False`,
    unless `first_epoch` is 1, with which the hook does nothing. The first virtual classes come step_gap + 1 steps after
    the start.

    Args:
        first_epoch: the first epoch in which steps are stored, at least 1; epochs count from 1.
        then: another hook, called afterwards with the trainer; its return value is returned, so it can end the
            training.

    Raises:
        TypeError: `first_epoch` is not an integer.
        ValueError: `first_epoch` is below 1; in a call, a trainer without such a wrapper among its losses, or with one
            that was active before `first_epoch`.

    Source: the option warm_epoch of the official code of Ko, Gu and Kim, "Learning with Memory-based Virtual Classes
    for Deep Metric Learning", ICCV 2021, which is 40 in the published commands: `first_epoch=41`.

    Example:
        >>> hook = start_virtual_classes(first_epoch=3)  # for MetricLossOnly(..., end_of_epoch_hook=hook)
    """
    check_integer("first_epoch", first_epoch, minimum=1, hint="epochs count from 1")

    def hook(trainer: BaseTrainer) -> Any:
        for wrapper in wrappers_of(trainer, MemoryBasedVirtualClasses, "start_virtual_classes"):
            if wrapper.active and trainer.epoch < first_epoch:
                raise ValueError(
                    f"MemoryBasedVirtualClasses has been active in epoch {trainer.epoch}, but first_epoch is "
                    f"{first_epoch}: construct it with active=False"
                )
            wrapper.active = trainer.epoch + 1 >= first_epoch
        return None if then is None else then(trainer)

    return hook
