"""When Intra-class Adaptive Augmentation takes its statistics, in a training of any length."""

from typing import Any

from pml_aug.hooks import refresh_statistics
from pml_aug.hooks.refresh_statistics import Hook


def refresh_after(baseline_share: float, every: int, num_epochs: int, then: Hook | None = None) -> Any:
    """:func:`refresh_statistics` from a share of the epochs on, with the official schedule of the strength.

    Args:
        baseline_share: of the epochs, before the first one with copies; .3 is the official code's.
        every: epochs from one time to the next.
        num_epochs: of the training.
        then: the hook to call afterwards.
    """
    if not 0 < baseline_share < 1:
        raise ValueError(f"baseline_share must be above 0 and below 1, but got {baseline_share}")
    first_epoch = max(2, int(baseline_share * num_epochs) + 1)
    if first_epoch > num_epochs:
        raise ValueError(
            f"num_epochs (protocol.epochs) must be at least {first_epoch}, the first epoch with copies, but got "
            f"{num_epochs}: the training would be that of the baseline"
        )
    return refresh_statistics(first_epoch=first_epoch, every=every, num_epochs=num_epochs, then=then)
