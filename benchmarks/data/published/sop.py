"""Stanford Online Products: 22,634 products with five images on average, 11,318 of them to train on."""

import re
from collections.abc import Iterator
from pathlib import Path

from ...files import read_lines
from ..arrays import TEST, TRAIN
from ..listing import Listing, find_base, require_files
from .class_folders import LAYOUT, has_halves, list_halves

COUNTS = {"training": (11318, 59551), "test": (11316, 60502)}
LAYOUTS = f"Ebay_train.txt and Ebay_test.txt beside the folders KIND_final/*.JPG, or {LAYOUT}"


def list_images(path: Path) -> Listing:
    """The images of SOP: classes sorted by id, images by path. A class is named by its id and kind, as ``17 bicycle``.

    Raises:
        FileNotFoundError: if a list, or some images, are missing.
        ValueError: if a list cannot be read.

    Source: Oh Song, Xiang, Jegelka, Savarese, "Deep Metric Learning via Lifted Structured Feature Embedding",
    CVPR 2016.
    """
    base = find_base(path, ("Ebay_train.txt", "train"), "Stanford Online Products", LAYOUTS)
    if has_halves(base):
        return list_halves(base)
    for name in ("Ebay_train.txt", "Ebay_test.txt"):
        if not (base / name).is_file():
            raise FileNotFoundError(f"{base}: found no {name}; expected {LAYOUTS}")
    listing = Listing.of([*_rows(base, "Ebay_train.txt", TRAIN), *_rows(base, "Ebay_test.txt", TEST)])
    require_files(listing, base)
    return listing


def _rows(base: Path, name: str, part: int) -> Iterator[tuple[int, int, str, Path]]:
    """Rows of a list with a header line, then image_id class_id super_class_id path."""
    for number, line in enumerate(read_lines(base / name)[1:], start=2):
        words = line.split()
        if len(words) != 4 or not re.fullmatch(r"[0-9]{1,9}", words[1]):
            raise ValueError(
                f"{base / name}: line {number} is {line!r}, but expected image_id class_id super_class_id path"
            )
        kind = words[3].split("/")[0].removesuffix("_final")
        yield part, int(words[1]), f"{words[1]} {kind}", base / words[3]
