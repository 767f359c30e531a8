"""The schedule of Intra-class Adaptive Augmentation for a training of any length."""

from typing import Any

from pml_aug.hooks import refresh_statistics
from pml_aug.hooks.refresh_statistics import Hook


def refresh_after(baseline_share: float, every: int, num_epochs: int, then: Hook | None = None) -> Any:
    """A hook that refreshes the statistics after a share of the epochs, with the official schedule of the strength.

    Args:
        baseline_share: fraction of the epochs before the first one with copies, in (0, 1); 0.3 in the official code.
        every: epochs between two refreshes, at least 1.
        num_epochs: of the training.
        then: hook to call afterwards.
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
