"""Labelled images from a CSV file that lists them."""

import csv
from pathlib import Path

from ..files import read_lines
from .arrays import TRAIN
from .folder import PARTS, of_parts
from .listing import Listing, require_files

NEEDED = ("image", "label")


def list_csv(path: Path, single_images: bool = False) -> Listing:
    """The images that a CSV file lists, in the order of their classes' names, then of their paths.

    Args:
        path: UTF-8, with a header. Columns: ``image``, a path, relative to the folder of the file; ``label``, the name
            of the class; optionally ``split``, which is train, test, query or gallery in every row. Others are not
            read. Without ``split``, half of the classes are the test set.
        single_images: whether classes of one image are wanted.

    Raises:
        FileNotFoundError: if the file or an image is missing.
        ValueError: if a column or a value is missing, or as :func:`benchmarks.data.folder.list_folder`.
    """
    rows = csv.DictReader(read_lines(path), strict=True)
    try:
        columns = [name.strip() for name in rows.fieldnames or ()]
        rows.fieldnames = columns
        missing = [name for name in NEEDED if name not in columns]
        if missing:
            raise ValueError(f"expected columns image and label in the first line, but found {', '.join(columns)}")
        listed = [_row(path.parent, row, rows.line_num, "split" in columns) for row in rows]
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}: {error}") from error
    if not listed:
        raise ValueError(f"{path}: lists no images; add a line for each image")
    parts = {part for part, _, _ in listed}
    listing = Listing.of((PARTS.get(part, TRAIN), label, label, file) for part, label, file in listed)
    require_files(listing, path)
    return of_parts(listing, parts - {""}, path, single_images)


def _row(folder: Path, row: dict[str, str], line: int, with_split: bool) -> tuple[str, str, Path]:
    """Part (empty: none is given), label and file of a line."""
    values = {name: (row.get(name) or "").strip() for name in (*NEEDED, "split")}
    for name in NEEDED:
        if not values[name]:
            raise ValueError(f"line {line} has no {name}")
    if with_split and values["split"] not in PARTS:
        raise ValueError(f"line {line}: split must be one of {', '.join(PARTS)}, but is {values['split']!r}")
    return values["split"] if with_split else "", values["label"], folder / Path(values["image"]).expanduser()
