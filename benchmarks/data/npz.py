"""Labelled images from one npz file."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from benchmarks.data.arrays import ImageArrays, require_two_images_a_class
from benchmarks.data.files import require_regular

KNOWN = ("images", "labels", "class_names", "source", "source_names")
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # those that numpy writes
DEFLATE = 1100  # bytes that one byte of compressed data stands for at most, with some room: deflate gives up to 1,032
MAX_SOURCES = 1 << 20  # where the file does not name them


def read_npz(path: Path, name: str) -> ImageArrays:
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
    labels = _indices(arrays["labels"], "labels", len(images), path)
    if labels.max() >= len(images):
        raise ValueError(
            f"{path}: labels must run from 0 to num_classes - 1 without a gap, but {len(images)} images cannot have "
            f"label {labels.max()}; renumber the classes"
        )
    class_names = _names(arrays, "class_names", labels, path)
    missing = np.setdiff1d(np.arange(len(class_names)), labels)
    if len(missing):
        raise ValueError(
            f"{path}: labels must run from 0 to {len(class_names) - 1} without a gap, but {missing[:5].tolist()} "
            "have no image; renumber the classes"
        )
    require_two_images_a_class(labels, class_names, str(path))
    source = _indices(arrays["source"], "source", len(images), path) if "source" in arrays else None
    if source is not None and "source_names" not in arrays and source.max() >= MAX_SOURCES:
        raise ValueError(
            f"{path}: source must be below {MAX_SOURCES:,} where there are no source_names, but got {source.max()}"
        )
    source_names = [] if source is None else _names(arrays, "source_names", source, path)
    return ImageArrays(name, images, labels.astype(np.int64), class_names, _int64(source), source_names)


def _int64(values: np.ndarray | None) -> np.ndarray | None:
    return None if values is None else values.astype(np.int64)


def read_arrays(path: Path, known: Sequence[str]) -> dict[str, np.ndarray]:
    """Those of the ``known`` arrays that an npz file holds; never unpickled.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, or claims more than it holds; the message starts with the path.
    """
    require_regular(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = {key: _member(archive, key) for key in known}
            return {key: _array(archive, found) for key, found in names.items() if found is not None}
    except Exception as error:  # zipfile and numpy raise nearly every built-in exception for damaged files
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path}: not a readable npz file ({reason}); write it again with numpy.savez") from error


def _member(archive: zipfile.ZipFile, key: str) -> zipfile.ZipInfo | None:
    found = [member for member in archive.infolist() if member.filename in (f"{key}.npy", key)]
    if len(found) > 1:
        raise ValueError(f"it holds {key!r} {len(found)} times")
    return found[0] if found else None


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """An array of a plain dtype, read only if the sizes that its headers claim can be true."""
    if member.flag_bits & 1:
        raise ValueError(f"{member.filename} is encrypted")
    if member.compress_type not in METHODS:
        raise ValueError(f"{member.filename} is compressed in a way that numpy does not write")
    if member.file_size > DEFLATE * (member.compress_size + 1):
        raise ValueError(f"{member.filename} claims {member.file_size:,} bytes, which its content cannot give")
    with archive.open(member) as file:
        shape, _, dtype = _header(file)
        length = member.file_size - file.tell()
    if dtype.hasobject:
        raise ValueError(f"{member.filename} holds pickled objects, which are not loaded")
    claimed = dtype.itemsize
    for size in shape:
        claimed *= size  # of Python, which does not overflow
    if min(shape, default=0) < 0 or claimed != length:
        raise ValueError(f"{member.filename} claims shape {shape} of {dtype}, but holds {length:,} bytes")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"arrays of format {version} have named fields, but plain ones were expected")


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
    if values.dtype.kind not in "iu" or values.shape != (num_images,):
        raise ValueError(
            f"{path}: {key} must be integers of shape ({num_images},), one per image, but are {values.dtype} of shape "
            f"{values.shape}"
        )
    if values.min() < 0:
        raise ValueError(f"{path}: {key} must be at least 0, but row {values.argmin()} is {values.min()}")
    return values


def _names(arrays: dict[str, np.ndarray], key: str, indices: np.ndarray, path: Path) -> list[str]:
    """The names that indices point into; their numbers where the file gives none."""
    if key not in arrays:
        return [str(number) for number in range(int(indices.max()) + 1)]
    names = arrays[key]
    if names.ndim != 1 or names.dtype.kind != "U":
        raise ValueError(f"{path}: {key} must be a vector of strings, but is {names.dtype} of shape {names.shape}")
    if indices.max() >= len(names):
        raise ValueError(f"{path}: {key} has {len(names)} entries, but an image refers to entry {indices.max()}")
    try:
        listed = names.tolist()
        "".join(listed).encode()
    except (SystemError, ValueError) as error:  # SystemError: numpy, for numbers beyond the last character
        raise ValueError(f"{path}: {key} holds characters that are not Unicode; write other names") from error
    return listed
