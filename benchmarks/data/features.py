"""Features of a data set: the file that holds them, and what it must hold."""

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from benchmarks.config.data import DataConfig
from benchmarks.data.arrays import GALLERY, ImageArrays
from benchmarks.data.labels import checked_labels, indices
from benchmarks.files import read_arrays, require_regular

ROWS, BLOCK_BYTES = 8192, 2**27  # read at a time: so many rows, unless they take more as float64
FEATURES, REST = "features.npy", "rest.npz"  # in a directory
OPTIONAL = ("class_names", "source", "source_names", "partition", "provenance", "pictures")
SHIPPED = "shipped:"  # in data.path: before the name of a file in this module's directory


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
        for block in _blocks(self.features):
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
    """Some rows and columns of mapped features; what is asked for is read from the file, and nothing else.

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


def read_features(path: Path) -> Features:
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
    labels = checked_labels(arrays, len(features), path, unit="row")
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
    for block in _blocks(features):
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
    for number, block in enumerate(_blocks(features)):
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


def _blocks(features: np.ndarray | SelectedFeatures) -> Iterator[np.ndarray]:
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


@dataclass(frozen=True, eq=False)
class FeatureArrays(ImageArrays):
    """Features in the place of images: ``images`` is (N, F) or (N, 1 + V, F), float16 or float32.

    If they are mapped into memory and rows or columns of them are left out, they are :class:`SelectedFeatures`.
    """

    provenance: dict[str, Any] = field(default_factory=dict)
    standardize: bool = True  # by the training rows' mean and standard deviation, column by column
    columns: np.ndarray | None = None  # (F,), int64: those of the file that are used; None: not read from a file
    num_columns: int | None = None  # of the file
    shown: np.ndarray | None = None  # (N, H, W, 1 or 3), uint8: pictures of the items

    @property
    def channels(self) -> int:
        """F, the number of features."""
        return self.array.shape[-1]

    @property
    def image_size(self) -> int:
        """1: a vector has no sides."""
        return 1

    @cached_property
    def content_hash(self) -> str:
        """As of :class:`Features`."""
        features = cast(np.ndarray, self.array)  # or what is read in its place
        return Features(
            features, self.labels, self.class_names, self.source, self.source_names, self.partition, self.provenance
        ).content_hash

    def row_digests(self) -> np.ndarray:
        """(N,) of 16 bytes, equal for equal rows of evaluated features."""
        digests = []
        for block in _blocks(self.array):
            evaluated = (block if block.ndim == 2 else block[:, 0]) + 0  # which turns -0.0 into 0.0
            digests += [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in evaluated]
        return np.frombuffer(b"".join(digests), dtype="V16")

    def with_classes(self, num_classes: int) -> "FeatureArrays":
        """As of images; mapped features stay in their file."""
        numbered = replace(self, images=np.arange(len(self.labels))[:, None])  # rows in the place of their features
        kept = ImageArrays.with_classes(numbered, num_classes)
        assert isinstance(kept, FeatureArrays)
        rows = kept.array[:, 0]
        return replace(
            kept,
            images=cast(np.ndarray, _selected(self.array, rows=rows)),
            shown=None if self.shown is None else self.shown[rows],
        )

    def pictures(self, rows: np.ndarray) -> np.ndarray:
        """A picture of each row: the file's, or else the features as gray levels, column by column, in a square.

        Shapes:
            (G,) -> (G, H, W, 1 or 3), uint8; of features (G, side, side, 1), with side * side at least F
        """
        if self.shown is not None:
            return self.shown[rows]
        values = self.array[rows] if self.array.ndim == 2 else self.array[rows, 0]
        low, high = values.min(axis=0), values.max(axis=0)
        levels = 255 * (values.astype(np.float64) - low) / np.maximum(high - low, 1e-12)
        side = int(np.ceil(np.sqrt(self.channels)))
        padded = np.zeros((len(levels), side * side), np.uint8)
        padded[:, : self.channels] = levels.round()
        return padded.reshape(-1, side, side, 1)

    @property
    def array(self) -> np.ndarray | SelectedFeatures:
        """``images``, of the type that it has here."""
        return cast("np.ndarray | SelectedFeatures", self.images)


def load_features(config: DataConfig) -> FeatureArrays:
    """The features that a configuration names, cut to ``num_classes``.

    Raises:
        FileNotFoundError: if there is no such file or directory.
        ValueError: as :func:`read_features`, or a column is constant and ``drop_constant`` is not set.
    """
    if not config.path:
        raise ValueError("data.path is missing: name the file, as in data=features data.path=FILE")
    path = _located(config.path)
    found = read_features(path)
    features: np.ndarray | SelectedFeatures = found.features
    constant = constant_columns(found.features)
    if constant.any():
        if not config.drop_constant or constant.all():
            columns = np.flatnonzero(constant)
            raise ValueError(
                f"{path}: {len(columns)} of {len(constant)} features have one value in all rows, the first is column "
                f"{columns[0]}; set data.drop_constant=true to leave them out"
            )
        features = _selected(features, columns=np.flatnonzero(~constant))
    arrays = FeatureArrays(
        config.name, cast(np.ndarray, features), found.labels, found.class_names, found.source, found.source_names,
        found.partition, found.provenance, config.standardize is not False,
        np.flatnonzero(~constant), len(constant), found.pictures,
    )  # fmt: skip
    return arrays if config.num_classes is None else arrays.with_classes(config.num_classes)


def _selected(
    features: np.ndarray | SelectedFeatures, rows: np.ndarray | None = None, columns: np.ndarray | None = None
) -> np.ndarray | SelectedFeatures:
    """Some rows or columns: a copy of features in memory, and what reads the file of mapped ones when it is asked."""
    if isinstance(features, SelectedFeatures):
        return SelectedFeatures(
            features.source,
            features.rows if rows is None else features.rows[rows],
            features.columns if columns is None else features.columns[columns],
        )
    if isinstance(features, np.memmap):
        return SelectedFeatures(features, rows, columns)
    kept = features if rows is None else features[rows]
    return kept if columns is None else np.ascontiguousarray(kept[..., columns])


def is_shipped(config: DataConfig) -> bool:
    """Whether the file of features comes with the benchmark."""
    return config.kind == "features" and (config.path or "").startswith(SHIPPED)


def _located(path: str) -> Path:
    """The file that data.path names; a shipped one lies where this module does, wherever that is."""
    if path.startswith(SHIPPED):
        return Path(__file__).with_name(path.removeprefix(SHIPPED))
    return Path(path).expanduser()
