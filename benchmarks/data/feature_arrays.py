"""Features in the place of the images of a data set."""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..config.data import DataConfig
from .arrays import ImageArrays
from .features import Features, SelectedFeatures, blocks, constant_columns, read_features

SHIPPED = "shipped:"  # in data.path: before the name of a file in this module's directory


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
        for block in blocks(self.array):
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
    path = located(config.path)
    found = read_features(path, config.single_images is not None)
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
    """Some rows or columns: a copy of features in memory, and of mapped ones what reads the file at each access."""
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


def located(path: str) -> Path:
    """The file that data.path names; a shipped one lies where this module does, wherever that is."""
    if path.startswith(SHIPPED):
        return Path(__file__).with_name(path.removeprefix(SHIPPED))
    return Path(path).expanduser()
