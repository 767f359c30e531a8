"""Which images train, validate and test: class-disjoint halves and folds."""

from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """Row indices into the data set, each ascending; no class occurs in two of them."""

    train: np.ndarray  # (N_train,), int64
    val: np.ndarray  # (N_val,), int64
    test: np.ndarray  # (N_test,), int64


def class_disjoint_split(labels: np.ndarray, fold: int, num_folds: int = 4) -> Split:
    """Rows of the training classes, the validation classes and the test classes.

    The classes are sorted by id. The second half is the test set (with an odd number of classes, the larger part).
    The first half is cut into ``num_folds`` contiguous pieces as equal as they can be: fold p validates on the piece
    that starts at p / num_folds and trains on the others, wrapping around the end. Over all folds every class of the
    first half validates exactly once.

    A piece must hold two classes: among images of one class every neighbour is right, so the scores would be 1
    whatever the model, and could choose nothing. That asks for ``4 * num_folds`` classes.

    Args:
        labels: class id of every row, (N,), integers.
        fold: which piece validates, 0 to ``num_folds - 1``.
        num_folds: number of pieces, at least 2.

    Raises:
        ValueError: if ``fold`` or ``num_folds`` is out of range, or there are too few classes.

    Source: Musgrave, Belongie, Lim, "A Metric Learning Reality Check", ECCV 2020.

    Example:
        >>> split = class_disjoint_split(np.arange(16), fold=1)
        >>> split.train.tolist(), split.val.tolist(), split.test.tolist()
        ([0, 1, 4, 5, 6, 7], [2, 3], [8, 9, 10, 11, 12, 13, 14, 15])
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be a vector of integers, but got shape {labels.shape} of {labels.dtype}")
    if num_folds < 2:
        raise ValueError(f"num_folds must be at least 2, but got {num_folds}")
    if not 0 <= fold < num_folds:
        raise ValueError(f"fold must be between 0 and {num_folds - 1} with num_folds={num_folds}, but got {fold}")
    classes = np.unique(labels)
    needed = 4 * num_folds
    if len(classes) < needed:
        raise ValueError(
            f"{num_folds} folds need at least {needed} classes (half of them test, and each fold validates on two or "
            f"more), but the data has {len(classes)}; use more classes or fewer folds"
        )
    half = len(classes) // 2
    start, stop = (half * piece // num_folds for piece in (fold, fold + 1))
    trains = np.concatenate([classes[:start], classes[stop:half]])
    return Split(*(np.flatnonzero(np.isin(labels, part)) for part in (trains, classes[start:stop], classes[half:])))
