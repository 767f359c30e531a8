"""The image files of a data set with their classes, before any image is read."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..files import require_regular
from .arrays import GALLERY, QUERY, TEST, TRAIN, spread_classes

Counts = Mapping[str, tuple[int, int]]  # part -> number of classes, number of images

Row = tuple[int, int | str, str, Path]  # part (TRAIN, TEST, ...), id and name of the class, file
PARTS = {"training": TRAIN, "test": TEST, "query": QUERY, "gallery": GALLERY}


class Scan(NamedTuple):
    """Image files as they are found, before they are put in order; and everything that is wrong."""

    rows: list[Row]
    parts: set[str]  # names of the parts that were found; empty: the classes are to be halved
    problems: list[str]  # one sentence each, with the path
    sources: dict[str, str]  # by the normalised path; empty where none are given


class Listing(NamedTuple):
    """Image files in the order of their rows: training classes first, each side sorted by class, then by file."""

    files: list[Path]
    labels: np.ndarray  # (N,), int64, 0 to num_classes - 1
    class_names: list[str]
    partition: np.ndarray | None  # (N,), uint8: TRAIN, TEST, QUERY or GALLERY
    source: np.ndarray | None = None  # (N,), int64: who drew or took the image
    source_names: Sequence[str] = ()  # one per source; empty where source is None

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "Listing":
        """The sorted rows with their classes numbered from 0: training first, each side by class id.

        Args:
            rows: part (TRAIN, TEST, QUERY or GALLERY), id and name of the class, file.

        Raises:
            ValueError: if a class is on both sides, or a file comes twice: an image that is a query and in the gallery,
                or twice in a test set, would find itself.
        """
        ordered = sorted(rows, key=lambda row: (row[0] != TRAIN, row[1], row[0], row[3]))
        if problems := conflicts(ordered):
            raise ValueError(problems[0])
        numbers: dict[int | str, int] = {}
        names = []
        for _, class_id, name, _ in ordered:
            if class_id not in numbers:
                numbers[class_id] = len(numbers)
                names.append(name)
        labels = np.array([numbers[row[1]] for row in ordered], dtype=np.int64)
        partition = np.array([row[0] for row in ordered], dtype=np.uint8)
        return cls([row[3] for row in ordered], labels, names, partition)

    def with_classes(self, num_classes: int) -> "Listing":
        """The files of ``num_classes`` classes, see :func:`spread_classes`."""
        kept = spread_classes(num_classes, len(self.class_names))
        rows = np.flatnonzero(np.isin(self.labels, kept))
        return Listing(
            [self.files[row] for row in rows],
            np.searchsorted(kept, self.labels[rows]),
            [self.class_names[k] for k in kept],
            None if self.partition is None else self.partition[rows],
            None if self.source is None else self.source[rows],
            self.source_names,
        )

    def counts(self) -> dict[str, tuple[int, int]]:
        """Number of classes and of images per part that has any."""
        parts = np.zeros(len(self.labels), dtype=np.uint8) if self.partition is None else self.partition
        found = {}
        for name, part in PARTS.items():
            rows = parts == part
            if rows.any():
                found[name if self.partition is not None else "all"] = (
                    len(np.unique(self.labels[rows])),
                    int(rows.sum()),
                )
        return found


def conflicts(ordered: Iterable[Row]) -> list[str]:
    """What is wrong with rows together: files that are listed twice, then classes on both sides; one sentence each.

    Args:
        ordered: as for :meth:`Listing.of`, sorted.
    """
    seen: set[str] = set()
    sides: dict[int | str, bool] = {}
    twice: list[str] = []
    both: dict[int | str, str] = {}
    for part, class_id, name, file in ordered:
        path = os.path.normpath(file)
        if path in seen:
            twice.append(
                f"{file}: listed twice, so the image would find itself; list each image once, as a query or in the "
                "gallery, for training or for the test"
            )
        seen.add(path)
        if sides.setdefault(class_id, part == TRAIN) != (part == TRAIN):
            sentence = f"{file}: its class {name} is in both the training and the test part; unpack the data again"
            both.setdefault(class_id, sentence)
    return [*twice, *both.values()]


def require_counts(listing: Listing, expected: Counts, path: Path) -> None:
    """Refuse a published data set that is incomplete, or not the published one.

    Raises:
        ValueError: naming each part that differs, with both counts.
    """
    found = listing.counts()
    wrong = [
        f"{images:,} {part} images of {classes:,} classes, but found {found.get(part, (0, 0))[1]:,} of "
        f"{found.get(part, (0, 0))[0]:,}"
        for part, (classes, images) in expected.items()
        if found.get(part) != (classes, images)
    ]
    if wrong:
        raise ValueError(
            f"{path}: expected {'; '.join(wrong)}. Unpack the published archives again, or set data.verify=false to "
            "train on what is there"
        )


def require_files(listing: Listing, path: Path) -> None:
    """Refuse a list of images if some of the files are missing.

    Raises:
        FileNotFoundError: with their number and the first of them.
    """
    missing = [file for file in listing.files if not file.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{path}: {len(missing):,} of {len(listing.files):,} listed images are missing, the first is {missing[0]}; "
            "unpack the images beside the list"
        )


def find_base(path: Path, markers: Iterable[str], name: str, what: str) -> Path:
    """The folder that holds one of the markers: ``path`` itself, or else one of its sub-folders.

    Args:
        path: ``data.path``.
        markers: relative paths, one of which must exist.
        name: name of the data set.
        what: the supported layouts, for the message.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; data.path must name the folder that holds {name}: {what}")
    candidates = [path, *(child for child in sorted(path.iterdir()) if child.is_dir() and child.name[0] != ".")]
    for base in candidates:
        if any((base / marker).exists() for marker in markers):
            return base
    raise FileNotFoundError(f"{path}: found no {name} here; expected {what}")


def visible(folder: Path) -> list[Path]:
    """The entries of a folder in the order of their names, without names that start with a dot."""
    return sorted(child for child in folder.iterdir() if not child.name.startswith("."))


def class_folders(folder: Path) -> list[Path]:
    """The visible sub-folders of a folder in the order of their names, which become names of classes.

    Raises:
        ValueError: if a name is not in the encoding of the file system.
    """
    folders = [child for child in visible(folder) if child.is_dir()]
    for child in folders:
        if any("\ud800" <= character <= "\udfff" for character in child.name):
            raise ValueError(f"{folder}: the name of the folder {child.name!r} is not Unicode; rename it")
    return folders


def image_files(folder: Path) -> list[Path]:
    """The image files of a class, which are all visible entries of its folder, in the order of their names.

    Raises:
        ValueError: if an entry is not a regular file, such as a folder or a named pipe; the message starts with
            its path.
    """
    return [require_regular(child) for child in visible(folder)]
