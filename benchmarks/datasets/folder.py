"""Labelled images from a folder with one sub-folder a class."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from benchmarks.datasets.arrays import ImageArrays, fit_square, require_two_images_a_class


def read_folder(path: Path, name: str, image_size: int | None) -> ImageArrays:
    """The images of every sub-folder, in RGB, with the sub-folder's name as the class.

    Classes and files are taken in the order of their names. Files beside the class folders, and names that start
    with a dot, are ignored; everything else inside a class folder must be an image. All images are held in memory:
    ``3 * image_size ** 2`` bytes each.

    Args:
        path: the folder; its sub-folders are the classes.
        name: what to call the data set.
        image_size: side of the square every image is cropped (centred) and resized to; may be None if all images
            have the same size already.

    Raises:
        FileNotFoundError: if the folder is missing.
        ValueError: if it holds no classes, an empty class, a class with one image, an unreadable file, or images of
            several sizes without an ``image_size``; the message starts with the path.
    """
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; data.path must name a folder with one sub-folder a class")
    classes = [child for child in _visible(path) if child.is_dir()]
    if not classes:
        raise ValueError(f"{path}: found no sub-folders; put the images of each class into a folder of its own")
    files = [_visible(folder) for folder in classes]
    for folder, members in zip(classes, files, strict=True):
        if not members:
            raise ValueError(f"{folder}: holds no images; add some or remove the folder")
    labels = np.repeat(np.arange(len(classes)), [len(members) for members in files])
    class_names = [folder.name for folder in classes]
    require_two_images_a_class(labels, class_names, str(path))
    images = _stack([file for members in files for file in members], image_size)
    return ImageArrays(name, images, labels, class_names, source=None, source_names=[])


def _visible(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if not child.name.startswith("."))


def _stack(files: list[Path], image_size: int | None) -> np.ndarray:
    """(N, H, W, 3) of all files; written into one array, so that no image is in memory twice."""
    first = _read(files[0], image_size)
    images = np.empty((len(files), *first.shape), dtype=np.uint8)
    for row, file in enumerate(files):
        image = _read(file, image_size)
        if image.shape != first.shape:
            raise ValueError(
                f"{file}: is {image.shape[1]} x {image.shape[0]}, but {files[0]} is {first.shape[1]} x "
                f"{first.shape[0]}; set data.image_size to bring all images to one size"
            )
        images[row] = image
    return images


def _read(file: Path, image_size: int | None) -> np.ndarray:
    try:
        with Image.open(file) as opened:
            picture = ImageOps.exif_transpose(opened)
            picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{file}: not a readable image ({error}); replace it or move it out of the folder") from error
    if picture.mode.startswith(("I", "F")):
        raise ValueError(f"{file}: has more than 8 bits a channel (mode {picture.mode}); convert it to 8 bits")
    if picture.has_transparency_data:
        opaque = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(opaque, picture.convert("RGBA"))
    picture = picture.convert("RGB")
    return np.asarray(picture if image_size is None else fit_square(picture, image_size))
