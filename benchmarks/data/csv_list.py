"""Labelled images from a CSV file that lists them."""

import csv
import os
from pathlib import Path

import numpy as np

from ..files import read_lines
from .arrays import TRAIN
from .folder import PARTS, of_parts
from .listing import Listing, Scan, require_files

NEEDED = ("image", "label")
OPTIONAL = ("split", "source")


def list_csv(path: Path, single_images: bool = False) -> Listing:
    """The images that a CSV file lists, in the order of their classes' names, then of their paths.

    Args:
        path: UTF-8, with a header. Columns: ``image``, a path, relative to the folder of the file; ``label``, the name
            of the class; optionally ``split``, which is train, test, query or gallery in every row, and ``source``, the
            name of who drew or took the image. Others are not read. Without ``split``, half of the classes are the test
            set.
        single_images: whether classes of one image are wanted.

    Raises:
        FileNotFoundError: if the file or an image is missing.
        ValueError: if a column or a value is missing, or as :func:`benchmarks.data.folder.list_folder`.
    """
    scan = scan_csv(path)
    if scan.problems:
        raise ValueError(scan.problems[0])
    listing = Listing.of(scan.rows)
    require_files(listing, path)
    return of_parts(with_sources(listing, scan), scan.parts, path, single_images)


def scan_csv(path: Path) -> Scan:
    """The rows of a CSV file, and what is wrong with the others; whether the images exist is not looked at.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read as UTF-8.
    """
    rows = csv.DictReader(read_lines(path), strict=True)
    scan = Scan([], set(), [], {})
    try:
        columns = [name.strip() for name in rows.fieldnames or ()]
        rows.fieldnames = columns
        if any(name not in columns for name in NEEDED):
            found = ", ".join(columns)
            raise ValueError(f"expected columns image and label in the first line, but found {found}")
        given = [name for name in (*NEEDED, *OPTIONAL) if name in columns]
        for row in rows:
            _add(scan, path, {name: (row.get(name) or "").strip() for name in given}, rows.line_num)
    except (ValueError, csv.Error) as error:
        scan.problems.append(f"{path}: {error}")
    if not scan.rows and not scan.problems:
        scan.problems.append(f"{path}: lists no images; add a line for each image")
    return scan


def _add(scan: Scan, path: Path, row: dict[str, str], line: int) -> None:
    """Add a line's image to the rows, or what is wrong with it to the problems."""
    lacking = [name for name, value in row.items() if not value and name != "split"]
    if lacking:
        scan.problems.append(f"{path}: line {line} has no {lacking[0]}")
        return
    part = row.get("split")
    if part is not None and part not in PARTS:
        scan.problems.append(f"{path}: line {line}: split must be one of {', '.join(PARTS)}, but is {part!r}")
        return
    file = path.parent / Path(row["image"]).expanduser()
    if part is not None:
        scan.parts.add(part)
    scan.rows.append((PARTS[part] if part is not None else TRAIN, row["label"], row["label"], file))
    if "source" in row:
        scan.sources[os.path.normpath(file)] = row["source"]


def with_sources(listing: Listing, scan: Scan) -> Listing:
    """The listing with the source of each of its images, if the file has such a column."""
    if not scan.sources:
        return listing
    names, source = np.unique([scan.sources[os.path.normpath(file)] for file in listing.files], return_inverse=True)
    return listing._replace(source=source.astype(np.int64), source_names=names.tolist())
