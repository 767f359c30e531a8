"""Labelled images from one npz file."""

from pathlib import Path

import numpy as np

from ..files import read_arrays
from .arrays import ImageArrays
from .labels import checked_labels

KNOWN = ("images", "labels", "class_names", "source", "source_names")


def read_npz(path: Path, name: str, single_images: bool = False) -> ImageArrays:
    """The images, labels and names in an npz file, checked.

    Expected arrays: ``images`` (N, H, W), (N, H, W, 1) or (N, H, W, 3), uint8; ``labels`` (N,), integers 0 to
    num_classes - 1 without a gap. Optional: ``class_names`` (num_classes,); ``source`` (N,), integers, with
    ``source_names``. Other arrays are not read, and pickled ones are never loaded.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read or holds something else; the message starts with the path.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; data.path must name an npz file")
    arrays = read_arrays(path, KNOWN)
    for key in ("images", "labels"):
        if key not in arrays:
            raise ValueError(f"{path}: expected an array {key!r}, but found only {sorted(arrays) or 'others'}")
    images = _images(arrays, path)
    return ImageArrays(name, images, *checked_labels(arrays, len(images), path, "image", single_images))


def _images(arrays: dict[str, np.ndarray], path: Path) -> np.ndarray:
    images = arrays["images"]
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        raise ValueError(
            f"{path}: images must be uint8 of shape (N, H, W), (N, H, W, 1) or (N, H, W, 3), but are "
            f"{arrays['images'].dtype} of shape {arrays['images'].shape}"
        )
    return images
