"""Labelled images from a folder with one sub-folder per class."""

from pathlib import Path

import numpy as np

from ..files import require_regular
from .arrays import (
    GALLERY,
    QUERY,
    TEST,
    TRAIN,
    ImageArrays,
    empty_images,
    require_two_images_a_class,
)
from .decoding import Form, decode
from .listing import Listing, Scan, class_folders, visible

PARTS = {"train": TRAIN, "test": TEST, "query": QUERY, "gallery": GALLERY}
LAYOUTS = ({"train", "test"}, {"train", "query", "gallery"})


def list_folder(path: Path, single_images: bool = False) -> Listing:
    """The image files of every sub-folder, whose name is the class.

    Classes and files are sorted by name. Files beside the class folders, and names that start
    with a dot, are ignored; everything else inside a class folder must be an image.

    Args:
        path: the folder; its sub-folders are the classes, or else ``train`` and ``test``, or ``train``, ``query`` and
            ``gallery``, and the classes lie in those.
        single_images: whether classes of one image are wanted.

    Raises:
        FileNotFoundError: if the folder is missing.
        ValueError: if it holds no classes, an empty class or an unwanted class of one image; the message starts
            with the path.
    """
    scan = scan_folder(path)
    if scan.problems:
        raise ValueError(scan.problems[0])
    return of_parts(Listing.of(scan.rows), scan.parts, path, single_images)


def scan_folder(path: Path) -> Scan:
    """The image files of a folder of classes, or of its parts, and what else lies there but should not.

    Raises:
        FileNotFoundError: if the folder is missing.
        ValueError: if it holds no classes, or one whose name is not in the encoding of the file system.
    """
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; data.path must name a folder with one sub-folder per class")
    classes = class_folders(path)
    if not classes:
        raise ValueError(f"{path}: found no sub-folders; put the images of each class into its own folder")
    scan = Scan([], set(), [], {})
    if {folder.name for folder in classes} <= PARTS.keys() and any(class_folders(folder) for folder in classes):
        for part in classes:
            scan.parts.add(part.name)
            for folder in class_folders(part):
                _add(scan, PARTS[part.name], folder)
    else:
        for folder in classes:
            _add(scan, TRAIN, folder)
    return scan


def _add(scan: Scan, part: int, folder: Path) -> None:
    """Add the images of a class, at least one, and what else lies in its folder to the problems."""
    members = visible(folder)
    if not members:
        scan.problems.append(f"{folder}: holds no images; add some or remove the folder")
    for member in members:
        try:
            scan.rows.append((part, folder.name, folder.name, require_regular(member)))
        except (OSError, ValueError) as error:
            scan.problems.append(str(error))


def of_parts(listing: Listing, parts: set[str], path: Path, single_images: bool = False) -> Listing:
    """The listing, checked; without its partition where no parts were named.

    A query or gallery class may have one image; whether each query can be found is checked with the split.

    Args:
        listing: with a partition.
        parts: names of the parts that were found; empty if the classes are to be halved.
        path: of the data, for messages.
        single_images: whether classes of one image are wanted.

    Raises:
        ValueError: parts are missing, or there is an unwanted class of one image.
    """
    if parts and parts not in LAYOUTS:
        raise ValueError(
            f"{path}: expected train and test, or train, query and gallery, but found {', '.join(sorted(parts))}; add "
            "what is missing"
        )
    assert listing.partition is not None
    counted = np.isin(listing.partition, (TRAIN, TEST))
    classes, labels = np.unique(listing.labels[counted], return_inverse=True)
    require_two_images_a_class(labels, [listing.class_names[k] for k in classes], str(path), single_images)
    return listing if parts else listing._replace(partition=None)


def read_folder(path: Path, name: str, image_size: int | None) -> ImageArrays:
    """The images of a folder, see :func:`list_folder` and :func:`read_listed`."""
    return read_listed(list_folder(path), name, image_size)


def read_listed(listing: Listing, name: str, image_size: int | None) -> ImageArrays:
    """The images of a listing as RGB squares in memory, ``3 * image_size ** 2`` bytes each.

    Args:
        listing: image files.
        name: name of the data set.
        image_size: side of the square that every image is center-cropped and resized to; None if all images have the
            same size already.

    Raises:
        ValueError: for an unreadable file, or images of several sizes without an ``image_size``.
    """
    images = _stack(listing.files, Form(image_size, "square", upright=True))
    return ImageArrays(
        name, images, listing.labels, listing.class_names, listing.source, list(listing.source_names), listing.partition
    )


def _stack(files: list[Path], form: Form) -> np.ndarray:
    """(N, H, W, 3): all files decoded into one array, so that no image is in memory twice."""
    first = decode(files[0], form)
    images = empty_images((len(files), *first.shape))
    for row, file in enumerate(files):
        image = decode(file, form)
        if image.shape != first.shape:
            raise ValueError(
                f"{file}: is {image.shape[1]} x {image.shape[0]}, but {files[0]} is {first.shape[1]} x "
                f"{first.shape[0]}; set data.image_size to resize all images"
            )
        images[row] = image
    return images
