"""How strong copies are as a training goes on (Intra-class Adaptive Augmentation)."""

STEPS = ((0.4, 1.0), (0.6, 0.9), (0.8, 0.75), (1.0, 0.6))  # up to this share of the epochs, this share of the strength


def strength_at(epoch: int, num_epochs: int | None, strength: float) -> float:
    r"""The strength for one epoch: whole at first, then 0.9, 0.75 and 0.6 of it.

    .. math::
        \lambda_e = \lambda \cdot \begin{cases}
        1 & e \le 0.4 E \\ 0.9 & e \le 0.6 E \\ 0.75 & e \le 0.8 E \\ 0.6 & \text{else}
        \end{cases}

    Args:
        epoch: e, from 1.
        num_epochs: E, of the whole training; None keeps the strength, as the paper does.
        strength: :math:`\lambda` at the start.

    Source: the official code of Fu et al., "Intra-class Adaptive Augmentation with Neighbor Correction for Deep Metric
    Learning", TMM 2022; the paper does not mention it.

    Example:
        >>> [strength_at(epoch, 10, 1.0) for epoch in (4, 5, 7, 9)]
        [1.0, 0.9, 0.75, 0.6]
    """
    if epoch < 1:
        raise ValueError(f"epoch must be at least 1, the first, but got {epoch}")
    if num_epochs is None:
        return strength
    if num_epochs < 1:
        raise ValueError(f"num_epochs must be at least 1 or None, but got {num_epochs}")
    return strength * next((share for until, share in STEPS if epoch / num_epochs <= until), STEPS[-1][1])
