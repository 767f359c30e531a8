"""What a data set holds, in lines to read."""

from collections.abc import Iterator

import numpy as np

from benchmarks.data.arrays import ImageArrays
from benchmarks.data.listing import Listing
from benchmarks.data.ragged import RaggedImages
from benchmarks.data.split import class_disjoint_split


def line(name: str, text: str) -> str:
    """A line of a table."""
    return f"{name:<10}{text}"


def describe_classes(labels: np.ndarray, num_classes: int) -> Iterator[str]:
    """How many classes, and how many images they have."""
    counts = np.bincount(labels, minlength=num_classes)
    spread = f"{counts.min()}, {np.median(counts):g}, {counts.max()}"
    yield line("classes", f"{num_classes:,}; images in a class (min, median, max): {spread}")
    lonely = int(np.sum(counts == 1))
    if lonely:
        yield line("note", f"{lonely:,} classes have a single image, which finds no other of its class")


def describe_parts(files: Listing) -> Iterator[str]:
    """What the authors of the data say its images are for."""
    for part, (classes, images) in files.counts().items():
        yield line(part, f"{images:,} images of {classes:,} classes")


def describe_folds(labels: np.ndarray, partition: np.ndarray | None, num_folds: int) -> Iterator[str]:
    """Images and classes of each part of each fold."""
    for fold in range(num_folds):
        parts = class_disjoint_split(labels, fold, num_folds, partition)._asdict()
        sizes = (
            f"{name} {len(rows):,} of {len(np.unique(labels[rows])):,} classes"
            for name, rows in parts.items()
            if rows is not None and len(rows)
        )
        yield line(f"fold {fold}", ", ".join(sizes))


def describe_images(data: ImageArrays) -> Iterator[str]:
    """How many images, their colours, sizes and bytes."""
    images = data.images
    if isinstance(images, RaggedImages):
        sizes, in_bytes = images.sizes, int(images.sizes.prod(axis=1).sum()) * images.channels
    else:
        sizes, in_bytes = np.array([images.shape[1:3]]), images.nbytes
    smallest, largest = (" x ".join(map(str, size)) for size in (sizes.min(axis=0), sizes.max(axis=0)))
    extent = smallest if smallest == largest else f"{smallest} to {largest}"
    colours = "RGB" if data.channels == 3 else "grey"
    yield line("images", f"{len(images):,}, {colours}, {extent} (height x width), {in_bytes / 1e9:.3f} GB decoded")
