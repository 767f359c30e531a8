"""Images by class in ``train/CLASS/`` and ``test/CLASS/``, as the official code of Proxy Synthesis arranges them."""

import re
from pathlib import Path

from ..arrays import TEST, TRAIN
from ..listing import Listing, class_folders, image_files

LAYOUT = "train/CLASS/*.jpg and test/CLASS/*.jpg"


def has_halves(base: Path) -> bool:
    """Whether a folder has both sub-folders, train and test."""
    return (base / "train").is_dir() and (base / "test").is_dir()


def list_halves(base: Path) -> Listing:
    """Classes sorted by the number that the name of their folder starts with, or else by the name.

    Source: navervision/proxy-synthesis, README.md and dataset/prepare_cars.py, whose folders are class numbers. Its
    loader (torchvision's ImageFolder) orders them as text, 1, 10, 100, 2, so folds of contiguous classes would differ
    from those of the other layouts.
    """
    return Listing.of(
        (part, _order(folder.name), folder.name, file)
        for half, part in (("train", TRAIN), ("test", TEST))
        for folder in class_folders(base / half)
        for file in image_files(folder)
    )


def _order(name: str) -> str:
    """A sort key: the name with its leading number zero-padded.

    Example:
        >>> sorted(["10", "2", "1.b", "a"], key=_order)
        ['1.b', '2', '10', 'a']
    """
    number = re.match(r"\d+", name)
    return f"{int(number[0]):012d}{name[number.end() :]}" if number else name
