"""Schedule of the rows that Spherical Embedding Expansion expands: more of them from epoch to epoch."""

import math
from typing import Any

from pytorch_metric_learning.trainers import BaseTrainer

from pml_aug.hooks.wrappers_of_trainer import Hook, wrappers_of
from pml_aug.validation import check_integer, check_number
from pml_aug.wrappers.spherical_embedding_expansion import SphericalEmbeddingExpansion

LONGEST_RISE = 200  # epochs, in the official code


def fraction_at(epoch: int, num_epochs: int, maximum: float = 0.4, minimum: float = 0.0) -> float:
    r"""The share of the batch to expand in an epoch, which rises along half a cosine.

    .. math::
        f_e = f_{\max} - \frac{f_{\max} - f_{\min}}{2}
        \Bigl(1 + \cos \frac{\pi \min(e - 1, 200)}{\min(E, 200)}\Bigr)

    Args:
        epoch: e, at least 1.
        num_epochs: E, length of the whole training, at least 1.
        maximum: between 0 and 1.
        minimum: between 0 and 1, of the first epoch.

    Raises:
        TypeError: an argument of another type.
        ValueError: an argument out of range.

    Source: the official code of Le and Woo, "Spherical Embedding Expansion for Deep Metric Learning", PAKDD 2024,
    whose epochs count from 0.

    Example:
        >>> [round(fraction_at(epoch, 10), 2) for epoch in (1, 6, 10)]
        [0.0, 0.2, 0.39]
    """
    for name, share in (("maximum", maximum), ("minimum", minimum)):
        check_number(name, share, minimum=0, maximum=1)
    _check_epoch(epoch, num_epochs)
    progress = min(epoch - 1, LONGEST_RISE) / min(num_epochs, LONGEST_RISE)
    return maximum - (maximum - minimum) * (math.cos(math.pi * progress) + 1) / 2


def min_cosine_at(
    epoch: int, num_epochs: int, maximum: float = 0.4, minimum: float = 0.0, lower_bound: float = 0.0
) -> float:
    r"""The least cosine to its proxy of a row to expand in an epoch, which falls along half a cosine.

    .. math::
        c_e = \max\Bigl(b,\; c_{\min} + \frac{c_{\max} - c_{\min}}{2} \bigl(1 + \cos \tfrac{\pi (e - 1)}{E}\bigr)\Bigr)

    Args:
        epoch: e, at least 1.
        num_epochs: E, length of the whole training, at least 1.
        maximum: between -1 and 1, of the first epoch.
        minimum: between -1 and 1.
        lower_bound: b, between -1 and 1.

    Raises:
        TypeError: an argument of another type.
        ValueError: an argument out of range.

    Source: as of :func:`fraction_at`.

    Example:
        >>> [round(min_cosine_at(epoch, 10), 2) for epoch in (1, 6, 10)]
        [0.4, 0.2, 0.01]
    """
    for name, cosine in (("maximum", maximum), ("minimum", minimum), ("lower_bound", lower_bound)):
        check_number(name, cosine, minimum=-1, maximum=1)
    _check_epoch(epoch, num_epochs)
    return max(lower_bound, minimum + (maximum - minimum) * (math.cos(math.pi * (epoch - 1) / num_epochs) + 1) / 2)


def schedule_expansion(num_epochs: int, maximum: float = 0.4, minimum: float = 0.0, then: Hook | None = None) -> Hook:
    """An end-of-epoch hook that sets the rows to expand in the next epoch, of every wrapper among the trainer's losses.

    It sets `fraction` by :func:`fraction_at`, or with `select="cosine"` `min_cosine` by :func:`min_cosine_at`. In the
    first epoch a wrapper has the value of its constructor.

    Args:
        num_epochs: length of the whole training, at least 1.
        maximum: argument of :func:`fraction_at` or :func:`min_cosine_at`.
        minimum: argument of :func:`fraction_at` or :func:`min_cosine_at`.
        then: another hook, called afterwards with the trainer; its return value is returned, so it can end the
            training.

    Raises:
        TypeError: an argument of another type.
        ValueError: an argument out of range; in a call, a trainer without such a wrapper among its losses.

    Example:
        >>> hook = schedule_expansion(num_epochs=100)  # for MetricLossOnly(..., end_of_epoch_hook=hook)
    """
    fraction_at(1, num_epochs, maximum, minimum)  # checks the arguments

    def hook(trainer: BaseTrainer) -> Any:
        coming = min(trainer.epoch + 1, num_epochs)
        for wrapper in wrappers_of(trainer, SphericalEmbeddingExpansion, "schedule_expansion"):
            if wrapper.select == "fraction":
                wrapper.fraction = fraction_at(coming, num_epochs, maximum, minimum)
            else:
                wrapper.min_cosine = min_cosine_at(coming, num_epochs, maximum, minimum)
        return None if then is None else then(trainer)

    return hook


def _check_epoch(epoch: int, num_epochs: int) -> None:
    check_integer("epoch", epoch, minimum=1, hint="epochs count from 1")
    check_integer("num_epochs", num_epochs, minimum=1)
