"""Labels, class names and sources in an npz file, checked; files of images and of features share them."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .arrays import require_two_images_a_class

MAX_SOURCES = 1 << 20  # where the file does not name them


class Labels(NamedTuple):
    """What a file says of its N rows."""

    labels: np.ndarray  # (N,), int64, from 0 without a gap
    class_names: list[str]  # one per class; their numbers where the file gives none
    source: np.ndarray | None  # (N,), int64
    source_names: list[str]  # one per source; empty where source is None


def checked_labels(
    arrays: Mapping[str, np.ndarray], rows: int, path: Path, unit: str, single_images: bool = False
) -> Labels:
    """The checked arrays ``labels``, ``class_names``, ``source``, ``source_names``; all but the first are optional.

    Args:
        rows: that the file has.
        path: of the file, for messages.
        unit: what a row is, such as "image".
        single_images: whether classes of one row are wanted.

    Raises:
        ValueError: they do not fit the rows or each other; the message starts with the path.
    """
    labels = indices(arrays["labels"], "labels", rows, path, unit)
    if labels.max() >= rows:  # before anything is made of that many classes
        raise ValueError(
            f"{path}: labels must run from 0 to num_classes - 1 without a gap, but {rows} {unit}s cannot have label "
            f"{labels.max()}; renumber the classes"
        )
    class_names = _names(arrays, "class_names", labels, path, unit)
    missing = np.setdiff1d(np.arange(len(class_names)), labels)
    if len(missing):
        raise ValueError(
            f"{path}: labels must run from 0 to {len(class_names) - 1} without a gap, but {missing[:5].tolist()} "
            f"have no {unit}; renumber the classes"
        )
    labels = labels.astype(np.int64)
    require_two_images_a_class(labels, class_names, str(path), single_images)
    if "source" not in arrays:
        return Labels(labels, class_names, None, [])
    source = indices(arrays["source"], "source", rows, path, unit)
    if "source_names" not in arrays and source.max() >= MAX_SOURCES:
        raise ValueError(
            f"{path}: source must be below {MAX_SOURCES:,} where there are no source_names, but got {source.max()}"
        )
    return Labels(labels, class_names, source.astype(np.int64), _names(arrays, "source_names", source, path, unit))


def indices(values: np.ndarray, key: str, rows: int, path: Path, unit: str) -> np.ndarray:
    """The values, (rows,), if they are integers of at least 0; of the dtype that they have.

    Raises:
        ValueError: they are not; the message starts with the path.
    """
    if values.dtype.kind not in "iu" or values.shape != (rows,):
        raise ValueError(
            f"{path}: {key} must be integers of shape ({rows},), one per {unit}, but are {values.dtype} of shape "
            f"{values.shape}"
        )
    if values.min() < 0:
        raise ValueError(f"{path}: {key} must be at least 0, but row {values.argmin()} is {values.min()}")
    return values


def _names(arrays: Mapping[str, np.ndarray], key: str, used: np.ndarray, path: Path, unit: str) -> list[str]:
    """The names that ``used`` points into; their numbers where the file gives none."""
    if key not in arrays:
        return [str(number) for number in range(int(used.max()) + 1)]
    names = arrays[key]
    if names.ndim != 1 or names.dtype.kind != "U":
        raise ValueError(f"{path}: {key} must be a vector of strings, but is {names.dtype} of shape {names.shape}")
    if used.max() >= len(names):
        raise ValueError(
            f"{path}: {key} has {len(names)} entries, but the {unit} {used.argmax()} has entry {used.max()}"
        )
    try:
        listed: list[str] = names.tolist()
        "".join(listed).encode()
    except (SystemError, ValueError) as error:  # SystemError: numpy, for numbers beyond the last character
        raise ValueError(f"{path}: {key} holds characters that are not Unicode; write other names") from error
    return listed
