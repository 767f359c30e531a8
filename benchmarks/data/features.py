"""Files of features, and what they must hold."""

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..files import read_arrays, require_regular
from .arrays import GALLERY
from .labels import checked_labels, indices

ROWS, BLOCK_BYTES = 8192, 2**27  # read at a time: so many rows, unless they take more as float64
FEATURES, REST = "features.npy", "rest.npz"  # in a directory
OPTIONAL = ("class_names", "source", "source_names", "partition", "provenance", "pictures")


@dataclass(frozen=True, eq=False)
class Features:
    """One vector per item, or several views of it, with the item's class and where the vectors come from."""

    features: np.ndarray  # (N, F) or (N, 1 + V, F), float16 or float32: what is evaluated, then V augmented views
    labels: np.ndarray  # (N,), int64, 0 to num_classes - 1
    class_names: list[str]  # one per class
    source: np.ndarray | None = None  # (N,), int64: where the item comes from
    source_names: list[str] = field(default_factory=list)  # one per source; empty where source is None
    partition: np.ndarray | None = None  # (N,), uint8: TRAIN, TEST, QUERY or GALLERY; None: halves of the classes
    provenance: dict[str, Any] = field(default_factory=dict)  # data, trunk, weights, transforms, versions; or nothing
    pictures: np.ndarray | None = None  # (N, H, W, 1 or 3), uint8: what reports show for each item

    @property
    def num_views(self) -> int:
        """V; 0 where each item has one vector."""
        return 0 if self.features.ndim == 2 else self.features.shape[1] - 1

    @property
    def num_features(self) -> int:
        """F."""
        return self.features.shape[-1]

    @cached_property
    def content_hash(self) -> str:
        """sha256 of everything but the pictures, the same on every platform."""
        names = {
            "shape": self.features.shape,
            "dtype": self.features.dtype.name,
            "classes": self.class_names,
            "sources": self.source_names,
            "provenance": self.provenance,
        }
        digest = hashlib.sha256(json.dumps(names, sort_keys=True).encode())
        for block in blocks(self.features):
            digest.update(np.ascontiguousarray(block, dtype=block.dtype.newbyteorder("<")).data)
        for array, dtype in ((self.labels, "<i8"), (self.source, "<i8"), (self.partition, "|u1")):
            digest.update(b"-" if array is None else np.ascontiguousarray(array, dtype=dtype).data)
        return digest.hexdigest()

    def rest(self) -> dict[str, np.ndarray]:
        """Everything but the features, as arrays by the names that they have in a file."""
        arrays = {
            "labels": self.labels,
            "class_names": np.array(self.class_names),
            "provenance": np.array(json.dumps(self.provenance)),
        }
        if self.source is not None:
            arrays |= {"source": self.source, "source_names": np.array(self.source_names)}
        optional = {"partition": self.partition, "pictures": self.pictures}
        return arrays | {name: array for name, array in optional.items() if array is not None}


class SelectedFeatures:
    """Some rows and columns of mapped features; an access reads what it needs from the file, and nothing else.

    Args:
        source: (N, F) or (N, 1 + V, F).
        rows: kept, in their order, (M,); None for all.
        columns: kept, (G,); None for all.

    Example:
        >>> selected = SelectedFeatures(np.arange(6).reshape(3, 2), rows=np.array([2, 0]))
        >>> selected.shape, selected[1:].tolist()
        ((2, 2), [[0, 1]])
    """

    def __init__(self, source: np.ndarray, rows: np.ndarray | None = None, columns: np.ndarray | None = None) -> None:
        self.source = source
        self.rows = np.arange(len(source)) if rows is None else rows
        self.columns = np.arange(source.shape[-1]) if columns is None else columns
        self.shape = (len(self.rows), *source.shape[1:-1], len(self.columns))
        self.dtype, self.ndim = source.dtype, source.ndim

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __getitem__(self, index: Any) -> np.ndarray:
        """Rows by a slice or an array of positions, (B,), and a view of each: (B, F) or (B, 1 + V, F)."""
        rows, *views = index if isinstance(index, tuple) else (index,)
        return np.asarray(self.source[(self.rows[rows], *views)])[..., self.columns]


def npz_bytes(arrays: dict[str, np.ndarray]) -> memoryview:
    """The content of an npz file, uncompressed."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getbuffer()


def read_features(path: Path, single_images: bool = False) -> Features:
    """The features in an npz file, or in a directory whose ``features.npy`` is mapped into memory; checked.

    Expected arrays: ``features`` (N, F) or (N, 1 + V, F), float16 or float32; ``labels`` (N,), integers 0 to
    num_classes - 1 without a gap. Optional: ``class_names`` (num_classes,); ``source`` (N,), integers, with
    ``source_names``; ``partition`` (N,), 0 to 3; ``provenance``, a JSON object as text; ``pictures`` (N, H, W, 1 or 3),
    uint8. In a directory, ``rest.npz`` has all but the features. Pickled arrays are never loaded.

    Raises:
        FileNotFoundError: if there is no such file or directory.
        ValueError: if it cannot be read or holds something else; the message starts with the path.
    """
    if path.is_dir():
        arrays = {"features": _mapped(path), **read_arrays(_part(path, REST), ("labels", *OPTIONAL))}
    elif path.exists():
        arrays = read_arrays(path, ("features", "labels", *OPTIONAL))
    else:
        raise FileNotFoundError(f"{path}: no such file; data.path must name an npz file or a directory of features")
    for key in ("features", "labels"):
        if key not in arrays:
            raise ValueError(f"{path}: expected an array {key!r}, but found only {sorted(arrays) or 'others'}")
    features = arrays["features"]
    _check_features(features, path)
    labels = checked_labels(arrays, len(features), path, "row", single_images)
    partition = None
    if "partition" in arrays:
        partition = indices(arrays["partition"], "partition", len(features), path, unit="row")
    if partition is not None and partition.max() > GALLERY:
        raise ValueError(
            f"{path}: partition must be 0 (train), 1 (test), 2 (query) or 3 (gallery), but row {partition.argmax()} "
            f"is {partition.max()}"
        )
    if partition is not None:
        partition = partition.astype(np.uint8)
    provenance, pictures = _provenance(arrays, path), arrays.get("pictures")
    if pictures is not None:
        _check_pictures(pictures, len(features), path)
    return Features(features, *labels, partition, provenance, pictures)


def constant_columns(features: np.ndarray) -> np.ndarray:
    """(F,), bool: features that have the same value in every row and view."""
    start = np.asarray(features[0]).reshape(-1, features.shape[-1])[0]
    constant = np.ones(features.shape[-1], dtype=bool)
    for block in blocks(features):
        constant &= (block.reshape(-1, features.shape[-1]) == start).all(axis=0)
    return constant


def _check_features(features: np.ndarray, path: Path) -> None:
    if (
        features.dtype not in (np.dtype(np.float16), np.dtype(np.float32))
        or features.ndim not in (2, 3)
        or 0 in features.shape
        or (features.ndim == 3 and features.shape[1] < 2)
    ):
        raise ValueError(
            f"{path}: features must be float16 or float32 of shape (N, F), or (N, 1 + views, F) with at least one "
            f"view, but are {features.dtype} of shape {features.shape}; write them again, as in features.astype('f4')"
        )
    for number, block in enumerate(blocks(features)):
        finite = np.isfinite(block).reshape(len(block), -1).all(axis=1)
        if not finite.all():
            row = number * rows_at_once(features) + int(np.flatnonzero(~finite)[0])
            raise ValueError(f"{path}: features must be finite, but row {row} has nan or inf; leave it out")


def _check_pictures(pictures: np.ndarray, rows: int, path: Path) -> None:
    if (
        pictures.dtype != np.uint8
        or pictures.ndim != 4
        or len(pictures) != rows
        or pictures.shape[3] not in (1, 3)
        or 0 in pictures.shape
    ):
        raise ValueError(
            f"{path}: pictures must be uint8 of shape ({rows}, height, width, 1 or 3), but are {pictures.dtype} of "
            f"shape {pictures.shape}; write them again, or leave them out"
        )


def rows_at_once(features: np.ndarray | SelectedFeatures) -> int:
    """Number of rows that are read at a time, so that little memory is needed."""
    return min(ROWS, max(1, BLOCK_BYTES // (8 * int(np.prod(features.shape[1:], dtype=np.int64)))))


def blocks(features: np.ndarray | SelectedFeatures) -> Iterator[np.ndarray]:
    """The rows in parts that need little memory."""
    rows = rows_at_once(features)
    return (np.asarray(features[start : start + rows]) for start in range(0, len(features), rows))


def _part(path: Path, name: str) -> Path:
    """A file of a directory of features."""
    if not (path / name).exists():
        raise ValueError(f"{path}: expected a file {name} in this directory; compute the features again")
    return require_regular(path / name)


def _mapped(path: Path) -> np.ndarray:
    """The features of a directory, mapped into memory."""
    file = _part(path, FEATURES)
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy raises nearly every built-in exception for damaged headers
        raise ValueError(f"{path}: {FEATURES} is not a readable npy file ({error}); write it again") from error


def _provenance(arrays: dict[str, np.ndarray], path: Path) -> dict[str, Any]:
    if "provenance" not in arrays:
        return {}
    text = arrays["provenance"]
    try:
        found = json.loads(str(text)) if text.ndim == 0 and text.dtype.kind == "U" else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: provenance must be the text of a JSON object; leave the array out if there is none")
    return found
