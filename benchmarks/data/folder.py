"""Labelled images from a folder with one sub-folder per class."""

from pathlib import Path

import numpy as np

from benchmarks.data.arrays import ImageArrays, empty_images, require_two_images_a_class
from benchmarks.data.decoding import Form, decode
from benchmarks.data.listing import Listing, class_folders, image_files


def list_folder(path: Path) -> Listing:
    """The image files of every sub-folder, whose name is the class.

    Classes and files are sorted by name. Files beside the class folders, and names that start
    with a dot, are ignored; everything else inside a class folder must be an image.

    Args:
        path: the folder; its sub-folders are the classes.

    Raises:
        FileNotFoundError: if the folder is missing.
        ValueError: if it holds no classes, an empty class or a class with one image; the message starts with the path.
    """
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; data.path must name a folder with one sub-folder per class")
    classes = class_folders(path)
    if not classes:
        raise ValueError(f"{path}: found no sub-folders; put the images of each class into its own folder")
    files = [image_files(folder) for folder in classes]
    for folder, members in zip(classes, files, strict=True):
        if not members:
            raise ValueError(f"{folder}: holds no images; add some or remove the folder")
    labels = np.repeat(np.arange(len(classes)), [len(members) for members in files])
    class_names = [folder.name for folder in classes]
    require_two_images_a_class(labels, class_names, str(path))
    return Listing([file for members in files for file in members], labels, class_names, partition=None)


def read_folder(path: Path, name: str, image_size: int | None) -> ImageArrays:
    """The images of a folder (see :func:`list_folder`) as RGB squares in memory, ``3 * image_size ** 2`` bytes each.

    Args:
        path: the folder; its sub-folders are the classes.
        name: name of the data set.
        image_size: side of the square that every image is center-cropped and resized to; None if all images have the
            same size already.

    Raises:
        ValueError: for an unreadable file, or images of several sizes without an ``image_size``.
    """
    listing = list_folder(path)
    images = _stack(listing.files, Form(image_size, "square", upright=True))
    return ImageArrays(name, images, listing.labels, listing.class_names, source=None, source_names=[])


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
