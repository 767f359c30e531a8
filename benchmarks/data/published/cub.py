"""CUB-200-2011: 200 species of birds, the first 100 to train on."""

import re
from pathlib import Path

from ...files import read_lines
from ..arrays import TEST, TRAIN
from ..listing import Listing, find_base, image_files, visible
from .class_folders import LAYOUT, has_halves, list_halves

COUNTS = {"training": (100, 5864), "test": (100, 5924)}
LAYOUTS = f"CUB_200_2011/images/NNN.name/*.jpg, or {LAYOUT}"


def list_images(path: Path) -> Listing:
    """The images of CUB-200-2011: classes sorted by the number NNN, images by file name.

    ``images.txt`` is optional; if it exists, it must list the same files as ``images/``.

    Raises:
        FileNotFoundError: if the images, or some of them, are missing.
        ValueError: if a class folder has no number.

    Source: Wah, Branson, Welinder, Perona, Belongie, "The Caltech-UCSD Birds-200-2011 Dataset", 2011; the split is
    that of Oh Song, Xiang, Jegelka, Savarese, "Deep Metric Learning via Lifted Structured Feature Embedding",
    CVPR 2016.
    """
    base = find_base(path, ("images", "train"), "CUB-200-2011", LAYOUTS)
    if has_halves(base):
        return list_halves(base)
    if not (base / "images").is_dir():
        raise FileNotFoundError(f"{base}: found train but no test; expected {LAYOUTS}")
    rows = []
    for folder in visible(base / "images"):
        number = re.match(r"(\d+)\.", folder.name)
        if folder.is_dir() and number is None:
            raise ValueError(f"{folder}: expected a class folder named like 001.Black_footed_Albatross")
        if number is not None:
            part = TRAIN if int(number[1]) <= 100 else TEST
            rows += [(part, int(number[1]), folder.name, file) for file in image_files(folder)]
    listing = Listing.of(rows)
    if (base / "images.txt").is_file():
        _compare(listing, base)
    return listing


def _compare(listing: Listing, base: Path) -> None:
    named = {line.split(maxsplit=1)[1] for line in read_lines(base / "images.txt") if line.strip()}
    there = {file.relative_to(base / "images").as_posix() for file in listing.files}
    if named != there:
        missing, unknown = sorted(named - there), sorted(there - named)
        raise FileNotFoundError(
            f"{base}: images.txt and images/ differ: {len(missing):,} images are missing ({missing[:1]}), "
            f"{len(unknown):,} are not listed ({unknown[:1]}); unpack the archive again"
        )
