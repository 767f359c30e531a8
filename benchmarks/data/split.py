"""Class-disjoint training, validation and test sets: halves and folds of the classes."""

from typing import NamedTuple

import numpy as np

from ..config.data import DataConfig
from .arrays import GALLERY, QUERY, TEST, TRAIN, ImageArrays
from .listing import Listing


class Split(NamedTuple):
    """Row indices into the data set, ascending; no two parts share a class, except test and gallery."""

    train: np.ndarray  # (N_train,), int64
    val: np.ndarray  # (N_val,), int64; empty with a single fold
    test: np.ndarray  # (N_test,), int64; the queries where there is a gallery
    gallery: np.ndarray | None = None  # (N_gallery,), int64; None where the test images search each other


def split_of(data: ImageArrays | Listing, config: DataConfig, fold: int, num_folds: int) -> Split:
    """The split of a data set that its configuration describes.

    With ``train_on=all`` all rows train. Otherwise :func:`class_disjoint_split` splits the classes of two and more
    images. Those of one image join the test set as ``distractors``, which are found and find nothing, or else
    (``train``) the training images; where the data say themselves what an image is for, those of the test set stay
    there, and those of the training set are left out unless they are to train.

    Args:
        data: images, features, or a list of files.
        config: of the data.
        fold: the piece that validates.
        num_folds: number of pieces; 1: no validation.

    Raises:
        ValueError: as :func:`class_disjoint_split`.
    """
    labels, partition = np.asarray(data.labels), data.partition
    if config.train_on == "all":
        if fold:
            raise ValueError(f"fold must be 0 with data.train_on=all, which has no folds, but got {fold}")
        none = np.zeros(0, dtype=np.int64)
        return Split(np.arange(len(labels)), none, none)
    if config.single_images is None:
        return class_disjoint_split(labels, fold, num_folds, partition, config.split_seed)
    single = np.bincount(labels)[labels] == 1
    if partition is not None:
        single &= np.isin(partition, (TRAIN, TEST))  # a query may be found by images of another part
    rows, alone = np.flatnonzero(~single), np.flatnonzero(single)
    rest = None if partition is None else partition[rows]
    split = class_disjoint_split(labels[rows], fold, num_folds, rest, config.split_seed)
    train, val, test = (rows[part] for part in split[:3])
    tested = alone if partition is None else alone[partition[alone] == TEST]
    if config.single_images == "train":
        tested = tested if partition is not None else alone[:0]
        train = np.union1d(train, np.setdiff1d(alone, tested))
    return Split(train, val, np.union1d(test, tested), None if split.gallery is None else rows[split.gallery])


def class_disjoint_split(
    labels: np.ndarray,
    fold: int,
    num_folds: int = 4,
    partition: np.ndarray | None = None,
    split_seed: int | None = None,
) -> Split:
    """Rows of the training classes, the validation classes and the test classes.

    The classes are sorted by id, or shuffled (``split_seed``). The second half is the test set (the larger half if
    their number is odd), unless a ``partition`` gives the test set. The others are cut into ``num_folds`` contiguous
    pieces of nearly equal size: fold p validates on piece p and trains on the rest, so over all folds each of these
    classes validates exactly once. With ``num_folds=1`` there is no validation, and all of them train.

    A piece must hold two classes: among images of a single class every neighbor is right, so validation scores would be
    1 for every model. Halves therefore need ``4 * num_folds`` classes.

    Args:
        labels: class id of every row, (N,), integers.
        fold: the piece that validates, 0 to ``num_folds - 1``.
        num_folds: number of pieces; 1: no validation.
        partition: use of each row, (N,): 0 training or validation, 1 test, 2 query, 3 gallery; None for halves. A
            class has either 0 only or no 0. Either all test rows are 1, or none is.
        split_seed: of the shuffling of the classes before they are cut, with a ``partition`` of those that train and
            validate; None: they are sorted.

    Raises:
        ValueError: if ``fold`` or ``num_folds`` is out of range, there are too few classes, or the partition puts a
            class on both sides, an image among both queries and gallery, or has queries without a match.

    Source: Musgrave, Belongie, Lim, "A Metric Learning Reality Check", ECCV 2020.

    Example:
        >>> split = class_disjoint_split(np.arange(16), fold=1)
        >>> split.train.tolist(), split.val.tolist(), split.test.tolist()
        ([0, 1, 4, 5, 6, 7], [2, 3], [8, 9, 10, 11, 12, 13, 14, 15])
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be a vector of integers, but got shape {labels.shape} of {labels.dtype}")
    if num_folds < 1:
        raise ValueError(f"num_folds must be at least 1, but got {num_folds}")
    if not 0 <= fold < num_folds:
        expected = "0" if num_folds == 1 else f"between 0 and {num_folds - 1}"
        raise ValueError(f"fold must be {expected} with num_folds={num_folds}, but got {fold}")
    classes = np.unique(labels)
    if partition is None:
        learned, tested = np.split(_shuffled(classes, split_seed), [len(classes) // 2])
        test, gallery = np.flatnonzero(np.isin(labels, tested)), None
        needed = f"{4 * num_folds} classes (half of them test"
    else:
        learned, test, gallery = _parts(labels, np.asarray(partition))
        classes = learned = _shuffled(learned, split_seed)
        needed = f"{2 * num_folds} training classes (the test set is given"
    if len(learned) < 2 * num_folds:
        folds = "1 fold needs" if num_folds == 1 else f"{num_folds} folds need"
        raise ValueError(
            f"{folds} at least {needed}, and each fold has two or more), but the data has {len(classes)}; "
            "use more classes or fewer folds"
        )
    start, stop = (len(learned) * piece // num_folds for piece in (fold, fold + 1)) if num_folds > 1 else (0, 0)
    trains = np.concatenate([learned[:start], learned[stop:]])
    train, val = (np.flatnonzero(np.isin(labels, part)) for part in (trains, learned[start:stop]))
    return Split(train, val, test, gallery)


def _shuffled(classes: np.ndarray, seed: int | None) -> np.ndarray:
    return classes if seed is None else np.random.default_rng(seed).permutation(classes)


def _parts(labels: np.ndarray, partition: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The training classes, the query rows, and the gallery rows (None if the queries search each other)."""
    if partition.shape != labels.shape or not np.isin(partition, (TRAIN, TEST, QUERY, GALLERY)).all():
        raise ValueError(
            f"partition must be a vector of 0, 1, 2 or 3, one per label ({len(labels)}), but got shape "
            f"{partition.shape} with values {np.unique(partition)[:6].tolist()}"
        )
    learned = np.unique(labels[partition == TRAIN])
    shared = np.intersect1d(learned, labels[partition != TRAIN])
    if len(shared):
        raise ValueError(f"partition puts {len(shared)} classes into training and test, such as {shared[:5].tolist()}")
    test = np.flatnonzero(np.isin(partition, (TEST, QUERY)))
    searched = np.flatnonzero(np.isin(partition, (TEST, GALLERY)))
    both = np.intersect1d(test, searched)
    if 0 < len(both) < max(len(test), len(searched)):
        raise ValueError(
            f"partition makes {len(both)} images queries that are also in the gallery, beside images that are only one "
            "of the two: each would find itself; make each a query or part of the gallery"
        )
    lost = np.setdiff1d(labels[test], labels[searched])
    if len(np.unique(labels[test])) < 2 or len(lost):
        found = f"{len(lost)} query classes have no image to find" if len(lost) else "there are fewer than two"
        raise ValueError(f"partition must give at least two test classes, each with images to find, but {found}")
    return learned, test, searched if np.any(partition == GALLERY) else None
