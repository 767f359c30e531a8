"""The wrappers of one kind among the losses of a trainer of PML."""

from collections.abc import Callable
from typing import Any, TypeVar

from pytorch_metric_learning.trainers import BaseTrainer

from pml_aug.wrappers import LossWrapper

Hook = Callable[[BaseTrainer], Any]
Kind = TypeVar("Kind", bound=LossWrapper)


def wrappers_of(trainer: BaseTrainer, kind: type[Kind], hook: str) -> list[Kind]:
    """All wrappers of `kind` among the trainer's losses, also inside other losses.

    Args:
        trainer: one of PML's.
        kind: the class of the wrappers.
        hook: the name of the hook that looks for them, for the message.

    Raises:
        ValueError: there is none.
    """
    modules = (module for loss in trainer.loss_funcs.values() for module in loss.modules())
    found = [module for module in modules if isinstance(module, kind)]
    if not found:
        kinds = {name: type(loss).__name__ for name, loss in trainer.loss_funcs.items()}
        raise ValueError(
            f"{hook} found no {kind.__name__} among the trainer's loss_funcs {kinds}: wrap the loss with it, or leave "
            "the hook out"
        )
    return found
