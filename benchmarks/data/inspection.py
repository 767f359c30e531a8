"""Everything that is wrong with a folder or a list of images, found at once; and the sizes of the images."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..config.data import DataConfig
from .arrays import TRAIN
from .csv_list import scan_csv, with_sources
from .decoding import FORMATS, Form, decode
from .folder import LAYOUTS, of_parts, scan_folder
from .listing import Listing, Row, Scan, conflicts
from .split import split_of

SCANS = {"folder": scan_folder, "csv": scan_csv}


class Inspection(NamedTuple):
    """What was found."""

    problems: list[str]  # one sentence each
    listing: Listing  # of the images that can be used
    sizes: np.ndarray  # (N, 2), int64: height and width of their files


def inspect(config: DataConfig, num_folds: int) -> Inspection:
    """All that a training on a folder or a list of images would refuse, one after the other.

    Every image is decoded once, and nothing is kept. Images on both sides of the split are left to the audit.

    Args:
        config: of kind ``folder`` or ``csv``.
        num_folds: of the protocol.

    Raises:
        FileNotFoundError, ValueError: there is nothing to look at.
    """
    if not config.path:
        raise ValueError(f"data.path is missing: say where the data lies, as in data={config.kind} data.path=...")
    path = Path(config.path).expanduser()
    scan = SCANS[config.kind](path)
    ordered = sorted(scan.rows, key=lambda row: (row[0] != TRAIN, row[1], row[0], row[3]))
    unreadable, sizes = _decoded([row[3] for row in ordered], config)
    listing = Listing.of(_sound(ordered, sizes))
    found = np.array([sizes[file] for file in listing.files], dtype=np.int64).reshape(-1, 2)
    problems = [*scan.problems, *conflicts(ordered), *unreadable]
    if config.image_size is None and config.resize == "square" and len(np.unique(found, axis=0)) > 1:
        low, high = (" x ".join(map(str, size)) for size in (found.min(axis=0), found.max(axis=0)))
        problems.append(f"{path}: the images have several sizes, {low} to {high} pixels; set data.image_size")
    listing = with_sources(listing, scan)
    problems += _as_a_whole(listing, scan, config, num_folds, path)
    return Inspection(problems, listing if scan.parts else listing._replace(partition=None), found)


def _sound(ordered: Iterable[Row], sizes: dict[Path, tuple[int, int]]) -> list[Row]:
    """The rows with a readable image, each file once, each class on the first of its sides."""
    seen: set[str] = set()
    sides: dict[int | str, bool] = {}
    rows = []
    for row in ordered:
        part, class_id, _, file = row
        name = os.path.normpath(file)
        if file not in sizes or name in seen or sides.setdefault(class_id, part == TRAIN) != (part == TRAIN):
            continue
        seen.add(name)
        rows.append(row)
    return rows


def _decoded(files: list[Path], config: DataConfig) -> tuple[list[str], dict[Path, tuple[int, int]]]:
    """What is wrong with image files, one sentence each, and height and width of all others."""
    assert config.resize is not None, "folders and lists have it"
    form = Form(config.image_size, config.resize, upright=True)

    def look(file: Path) -> str | tuple[int, int]:
        try:
            decode(file, form)
            with Image.open(file, formats=FORMATS) as opened:
                return opened.height, opened.width
        except (OSError, ValueError) as error:
            return str(error)

    problems: list[str] = []
    sizes: dict[Path, tuple[int, int]] = {}
    with ThreadPoolExecutor(config.workers or os.cpu_count() or 1) as pool:
        looked = tqdm(pool.map(look, files), total=len(files), desc=f"looking at {config.name}", disable=None)
        for file, outcome in zip(files, looked, strict=True):
            if isinstance(outcome, str):
                problems.append(outcome)
            else:
                sizes[file] = outcome
    return list(dict.fromkeys(problems)), sizes


def _as_a_whole(listing: Listing, scan: Scan, config: DataConfig, num_folds: int, path: Path) -> list[str]:
    """What is wrong with parts, classes and folds, once each."""
    if scan.parts and scan.parts not in LAYOUTS:
        return _refusals(partial(of_parts, listing, scan.parts, path))
    problems = _refusals(partial(of_parts, listing, scan.parts, path, config.single_images is not None))
    without = replace(config, single_images=config.single_images or "distractors")
    parted = listing if scan.parts else listing._replace(partition=None)
    if len(listing.class_names) > 1:
        for fold in range(1 if config.train_on else num_folds):
            problems += _refusals(partial(split_of, parted, without, fold, num_folds))
    return list(dict.fromkeys(problems))


def _refusals(step: Callable[[], object]) -> list[str]:
    """What a step of reading the data refuses; empty if it does not."""
    try:
        step()
    except ValueError as error:
        return [str(error)]
    return []
