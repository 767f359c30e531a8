"""Labelled images from one npz file."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from benchmarks.data.arrays import ImageArrays, require_two_images_a_class


def read_npz(path: Path, name: str) -> ImageArrays:
    """The images, labels and names in an npz file, checked.

    Expected arrays: ``images`` (N, H, W), (N, H, W, 1) or (N, H, W, 3), uint8; ``labels`` (N,), integers 0 to
    num_classes - 1 without a gap. Optional: ``class_names`` (num_classes,); ``source`` (N,), integers, with
    ``source_names``. Other arrays are left unread, and pickled ones are never loaded.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read or holds something else; the message starts with the path.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; data.path must name an npz file")
    arrays = _arrays(path)
    images = _images(arrays, path)
    labels = _indices(arrays["labels"], "labels", len(images), path)
    class_names = _names(arrays, "class_names", labels, path)
    missing = np.setdiff1d(np.arange(len(class_names)), labels)
    if len(missing):
        raise ValueError(
            f"{path}: labels must run from 0 to {len(class_names) - 1} without a gap, but {missing[:5].tolist()} "
            "have no image; number the classes anew"
        )
    require_two_images_a_class(labels, class_names, str(path))
    source = _indices(arrays["source"], "source", len(images), path) if "source" in arrays else None
    source_names = [] if source is None else _names(arrays, "source_names", source, path)
    return ImageArrays(name, images, labels, class_names, source, source_names)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    known = ("images", "labels", "class_names", "source", "source_names")
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it holds a single array (npy), not an archive")
        with archive:
            arrays = {key: archive[key] for key in known if key in archive.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: not a readable npz file ({error}); write it anew with numpy.savez") from error
    for key in ("images", "labels"):
        if key not in arrays:
            raise ValueError(f"{path}: expected an array {key!r}, but found only {sorted(arrays) or 'others'}")
    return arrays


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


def _indices(values: np.ndarray, key: str, num_images: int, path: Path) -> np.ndarray:
    if not np.issubdtype(values.dtype, np.integer) or values.shape != (num_images,):
        raise ValueError(
            f"{path}: {key} must be integers of shape ({num_images},), one an image, but are {values.dtype} of shape "
            f"{values.shape}"
        )
    if values.min() < 0:
        raise ValueError(f"{path}: {key} must be at least 0, but row {values.argmin()} is {values.min()}")
    return values.astype(np.int64)


def _names(arrays: dict[str, np.ndarray], key: str, indices: np.ndarray, path: Path) -> list[str]:
    """The names that indices point into; their numbers where the file gives none."""
    if key not in arrays:
        return [str(number) for number in range(indices.max() + 1)]
    names = arrays[key]
    if names.ndim != 1 or names.dtype.kind != "U":
        raise ValueError(f"{path}: {key} must be a vector of strings, but is {names.dtype} of shape {names.shape}")
    if indices.max() >= len(names):
        raise ValueError(f"{path}: {key} has {len(names)} entries, but entry {indices.max()} is asked for")
    return names.tolist()
