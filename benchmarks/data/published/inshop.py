"""In-Shop Clothes Retrieval: 7,982 items, 3,997 of them to train on, the others split into queries and gallery."""

from collections.abc import Iterator
from pathlib import Path

from ...files import read_lines
from ..arrays import GALLERY, QUERY, TRAIN
from ..listing import Listing, find_base, require_files

COUNTS = {"training": (3997, 25882), "query": (3985, 14218), "gallery": (3985, 12612)}
LAYOUTS = "list_eval_partition.txt, here or in Eval/, and the images under img/, here or in Img/"
LISTS = ("list_eval_partition.txt", "Eval/list_eval_partition.txt")
PARTS = {"train": TRAIN, "query": QUERY, "gallery": GALLERY}


def list_images(path: Path) -> Listing:
    """The images of In-Shop: classes sorted by item id, training first; queries of a class before its gallery images.

    Raises:
        FileNotFoundError: if the list, or some images, are missing.
        ValueError: if the list cannot be read.

    Source: Liu, Luo, Qiu, Wang, Tang, "DeepFashion: Powering Robust Clothes Recognition and Retrieval with Rich
    Annotations", CVPR 2016.
    """
    base = find_base(path, LISTS, "In-Shop Clothes Retrieval", LAYOUTS)
    file = next(base / name for name in LISTS if (base / name).is_file())
    images = base / "Img" if (base / "Img" / "img").is_dir() else base
    listing = Listing.of(_rows(file, images))
    require_files(listing, base)
    return listing


def _rows(file: Path, images: Path) -> Iterator[tuple[int, str, str, Path]]:
    """Rows of a list with two header lines (number of images, names of the columns), then image_name item_id status."""
    for number, line in enumerate(read_lines(file)[2:], start=3):
        words = line.split()
        if len(words) != 3 or words[2] not in PARTS:
            raise ValueError(
                f"{file}: line {number} is {line!r}, but expected an image, its item, and one of {', '.join(PARTS)}"
            )
        yield PARTS[words[2]], words[1], words[1], images / words[0]
