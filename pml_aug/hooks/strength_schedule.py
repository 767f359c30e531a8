"""Schedule of the strength of copies over a training (Intra-class Adaptive Augmentation)."""

from pml_aug.validation import check_integer, check_number

STEPS = ((0.4, 1.0), (0.6, 0.9), (0.8, 0.75), (1.0, 0.6))  # (share of the epochs up to which, factor)


def strength_at(epoch: int, num_epochs: int | None, strength: float) -> float:
    r"""The strength in an epoch: the initial strength, later 0.9, 0.75 and 0.6 times that.

    .. math::
        \lambda_e = \lambda \cdot \begin{cases}
        1 & e \le 0.4 E \\ 0.9 & e \le 0.6 E \\ 0.75 & e \le 0.8 E \\ 0.6 & \text{else}
        \end{cases}

    Args:
        epoch: e, at least 1.
        num_epochs: E, length of the whole training, at least 1; None keeps the strength constant, as in the paper.
        strength: :math:`\lambda`, the initial strength, at least 0.

    Raises:
        TypeError: an argument of another type.
        ValueError: an argument out of range.

    Source: the official code of Fu et al., "Intra-class Adaptive Augmentation with Neighbor Correction for Deep Metric
    Learning", TMM 2022; the paper has no schedule.

    Example:
        >>> [strength_at(epoch, 10, 1.0) for epoch in (4, 5, 7, 9)]
        [1.0, 0.9, 0.75, 0.6]
    """
    check_integer("epoch", epoch, minimum=1, hint="epochs count from 1")
    check_number("strength", strength, minimum=0)
    if num_epochs is None:
        return strength
    check_integer("num_epochs", num_epochs, minimum=1, hint="None keeps the strength constant")
    return strength * next((share for until, share in STEPS if epoch / num_epochs <= until), STEPS[-1][1])
