"""What a model is applied to: a folder of images, or an npz file of images or features; no labels are needed."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..data.decoding import Form, decode
from ..data.features import FEATURES
from ..errors import UserError
from ..files import read_arrays, require_regular
from .model import EmbeddingModel

SUFFIXES = (
    ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff",
    ".webp",
)  # fmt: skip  # of the formats that are read; the content decides what a file is


class Block(NamedTuple):
    """Some rows, as a model takes them."""

    values: list[Tensor | None]  # one per row; None: no readable image
    problems: list[str]  # one per unreadable row


class Inputs:
    """Rows that a model is applied to.

    Attributes:
        names: of the rows: paths relative to the folder, or numbers.
        identity: changes with the rows; JSON.
        ignored: files of a folder that have no suffix of an image.
    """

    names: list[str]
    identity: dict[str, str]
    ignored: int = 0

    def block(self, rows: range) -> Block:
        """The rows as the model takes them."""
        raise NotImplementedError

    def picture(self, row: int) -> Image.Image | None:
        """A picture of a row for people; None where there is none."""
        raise NotImplementedError


def inputs_of(source: Path, model: EmbeddingModel, workers: int | None = None) -> Inputs:
    """The rows of ``source`` for this model.

    Args:
        source: a folder of images, at any depth; an npz file with ``images``; for a model of features, an npz file with
            ``features``, or a directory with ``features.npy``.
        workers: threads that decode images; None: one per core.

    Raises:
        UserError: there is nothing for this model.
    """
    try:
        if model.transform is None:
            return FeatureRows(source, model)
        return ImageFolder(source, model, workers) if source.is_dir() else ImageRows(source, model, workers)
    except (OSError, ValueError) as error:
        raise UserError(str(error)) from error


def queries_of(paths: Sequence[Path], model: EmbeddingModel) -> Inputs:
    """The rows of image files; or of one folder or npz file, as of :func:`inputs_of`.

    Raises:
        UserError: there is nothing for this model.
    """
    if len(paths) == 1 and (model.transform is None or paths[0].is_dir() or paths[0].suffix == ".npz"):
        return inputs_of(paths[0], model)
    if model.transform is None:
        raise UserError("the model takes features: give one npz file of them as --query")
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: no such file; --query must name images, a folder of them, or an npz file")
    return ImageFiles(Path(), [str(path) for path in paths], model)


class ImageFiles(Inputs):
    """Image files by their paths relative to a folder."""

    def __init__(self, folder: Path, names: list[str], model: EmbeddingModel, workers: int | None = None) -> None:
        assert model.transform is not None
        self.folder, self.names, self.transform = folder, names, model.transform
        self.threads = ThreadPoolExecutor(workers or os.cpu_count() or 1)
        digest = hashlib.sha256()
        for name in names:
            found = (folder / name).stat()
            digest.update(os.fsencode(f"{name}\0{found.st_size}\0{found.st_mtime_ns}\0"))
        self.identity = {"source": str(folder.resolve()), "files": digest.hexdigest()}

    def block(self, rows: range) -> Block:
        found = list(self.threads.map(self._levels, [self.folder / self.names[row] for row in rows]))
        return Block([found if isinstance(found, Tensor) else None for found in found], _problems(found))

    def picture(self, row: int) -> Image.Image | None:
        return picture_of(self.folder / self.names[row])

    def _levels(self, file: Path) -> Tensor | str:
        try:
            return self.transform(file)
        except (OSError, ValueError) as error:
            return str(error)


class ImageFolder(ImageFiles):
    """The image files of a folder and of its sub-folders, sorted by path; hidden ones are left out."""

    def __init__(self, folder: Path, model: EmbeddingModel, workers: int | None) -> None:
        files = list(_files(folder))
        names = [name for name in files if os.path.splitext(name)[1].lower() in SUFFIXES]
        self.ignored = len(files) - len(names)
        if not names:
            raise ValueError(f"{folder}: holds no images ({', '.join(SUFFIXES)})")
        super().__init__(folder, names, model, workers)


class ImageRows(Inputs):
    """The array ``images`` of an npz file, uint8, (N, H, W), (N, H, W, 1) or (N, H, W, 3)."""

    def __init__(self, path: Path, model: EmbeddingModel, workers: int | None) -> None:
        assert model.transform is not None
        self.transform, self.images = model.transform, _array(path, "images")
        if self.images.dtype != np.uint8 or self.images.ndim not in (3, 4) or 0 in self.images.shape:
            raise ValueError(
                f"{path}: images must be uint8 of shape (N, H, W), (N, H, W, 1) or (N, H, W, 3), but are "
                f"{self.images.dtype} of shape {self.images.shape}"
            )
        self.names = [str(row) for row in range(len(self.images))]
        self.threads = ThreadPoolExecutor(workers or os.cpu_count() or 1)
        self.identity = {"source": str(path.resolve()), "images": _digest(self.images)}

    def block(self, rows: range) -> Block:
        try:
            return Block(list(self.threads.map(self.transform, self.images[rows.start : rows.stop])), [])
        except ValueError as error:  # all have one shape, so one is as good as the others
            raise UserError(f"{self.identity['source']}: {error}") from error

    def picture(self, row: int) -> Image.Image | None:
        return _as_picture(self.images[row])


class FeatureRows(Inputs):
    """The array ``features`` of an npz file or of a directory; of several views, the first, which is evaluated."""

    def __init__(self, path: Path, model: EmbeddingModel) -> None:
        wanted = model.description.features
        assert wanted is not None
        if path.is_dir() and not (path / FEATURES).exists():
            raise ValueError(
                f"{path}: the model takes features, not images: compute them as those of its training, with "
                f"pml-aug features, and give that file"
            )
        self.features = _mapped(path / FEATURES) if path.is_dir() else _array(path, "features")
        if self.features.ndim not in (2, 3) or self.features.shape[-1] != wanted.number or not len(self.features):
            raise ValueError(
                f"{path}: features must have shape (N, {wanted.number}), as those that the model was trained on, but "
                f"have {self.features.shape}"
            )
        if self.features.dtype.kind != "f":
            raise ValueError(f"{path}: features must be floats, but are {self.features.dtype}")
        self.names = [str(row) for row in range(len(self.features))]
        self.identity = {"source": str(path.resolve()), "features": _digest(self.features)}

    def block(self, rows: range) -> Block:
        part = self.features[rows.start : rows.stop]
        values = np.array(part if part.ndim == 2 else part[:, 0], dtype=np.float32)
        if not np.isfinite(values).all():
            row = rows.start + int(np.argwhere(~np.isfinite(values))[0][0])
            raise UserError(f"{self.identity['source']}: row {row} has nan or inf; leave it out")
        return Block(list(torch.from_numpy(values)), [])

    def picture(self, row: int) -> Image.Image | None:
        return None


def pictures_at(source: Path, names: Sequence[str]) -> Callable[[int], Image.Image | None]:
    """What shows the rows of embedded images, where those still lie in a folder or npz file; nothing where not.

    Args:
        source: the folder or file that was embedded.
        names: of the rows; those that lead out of the folder are not opened.
    """
    if source.is_dir():
        root = source.resolve()
        files = [(root / name).resolve() for name in names]
        return lambda row: picture_of(files[row]) if files[row].is_relative_to(root) else None
    try:
        images = read_arrays(source, ("images",)).get("images")
    except (OSError, ValueError):  # features, or the file is no longer there
        images = None
    if images is None or images.dtype != np.uint8 or images.ndim not in (3, 4):
        return lambda row: None
    return lambda row: _as_picture(images[int(names[row])])


def picture_of(file: Path) -> Image.Image | None:
    """An image file as a person sees it; None if it cannot be read any more."""
    try:
        return Image.fromarray(decode(file, Form(None, "square", upright=True)))
    except (OSError, ValueError):
        return None


def _as_picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)


def _files(folder: Path) -> Iterator[str]:
    """Paths of all visible files, relative to the folder and sorted; links to folders are not followed."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield os.path.relpath(os.path.join(parent, name), folder)


def _array(path: Path, key: str) -> np.ndarray:
    arrays = read_arrays(path, (key,))
    if key not in arrays:
        raise ValueError(f"{path}: expected an array {key!r}, which this model takes")
    return arrays[key]


def _mapped(file: Path) -> np.ndarray:
    try:
        return np.load(require_regular(file), mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy raises nearly every built-in exception for damaged headers
        raise ValueError(f"{file}: not a readable npy file ({error}); write it again") from error


def _digest(array: np.ndarray) -> str:
    digest = hashlib.sha256(json.dumps([array.dtype.str, *array.shape]).encode())
    for start in range(0, len(array), 8192):
        digest.update(np.ascontiguousarray(array[start : start + 8192]).data)
    return digest.hexdigest()


def _problems(found: Sequence[Tensor | str]) -> list[str]:
    return [reason for reason in found if isinstance(reason, str)]
