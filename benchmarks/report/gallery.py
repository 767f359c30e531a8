"""Test queries with their nearest neighbours under the baseline and under a method."""

import base64
import io
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..errors import UserError
from ..runs.arrays import read_arrays
from ..runs.checked_json import damaged
from ..runs.reader import Run
from ..runs.schema import GALLERY
from .cells import Comparison

EACH = 2  # queries shown of each kind
LARGEST = 96  # pixels, so that a gallery of photographs stays small


class Neighbor(NamedTuple):
    image: str  # data URI
    label: int
    right: bool


class Shown(NamedTuple):
    kind: str
    image: str  # data URI
    label: int
    baseline: tuple[Neighbor, ...]
    method: tuple[Neighbor, ...]


class Gallery(NamedTuple):
    comparison: Comparison
    fold: int
    seed: int
    num_queries: int
    num_neighbors: int
    more: int  # queries with more correct neighbours under the method
    fewer: int
    same: int
    shown: tuple[Shown, ...]


def gallery(comparison: Comparison) -> Gallery:
    """The most telling queries of the comparison's lowest seed and fold, for and against the method.

    Shown are the queries whose number of correct neighbours rises most, those where it falls most, and of the unchanged
    ones the one with fewest and the one with most; ties by the query's row. All queries are counted.
    """
    baseline_run, method_run = comparison.baseline.runs[0], comparison.method.runs[0]
    baseline, method = gallery_arrays(baseline_run), gallery_arrays(method_run)
    if not np.array_equal(baseline["query"], method["query"]):
        raise UserError(f"the galleries of {baseline_run.path} and {method_run.path} show different queries")
    baseline_right, method_right = _right(baseline), _right(method)
    gain = method_right.sum(axis=1) - baseline_right.sum(axis=1)
    shown = [
        Shown(
            kind,
            _data_uri(baseline["query_image"][row]),
            int(baseline["query_label"][row]),
            _neighbors(baseline, baseline_right, row),
            _neighbors(method, method_right, row),
        )
        for kind, row in _chosen(gain, baseline_right.sum(axis=1))
    ]
    return Gallery(
        comparison,
        fold=baseline_run.fold,
        seed=baseline_run.seed,
        num_queries=len(gain),
        num_neighbors=baseline["neighbor_label"].shape[1],
        more=int((gain > 0).sum()),
        fewer=int((gain < 0).sum()),
        same=int((gain == 0).sum()),
        shown=tuple(shown),
    )


def _right(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """(G, K): whether a neighbour has its query's class."""
    return arrays["neighbor_label"] == arrays["query_label"][:, None]


def _chosen(gain: np.ndarray, right: np.ndarray) -> Iterator[tuple[str, int]]:
    for row in np.argsort(-gain, kind="stable")[:EACH]:
        if gain[row] > 0:
            yield "more correct", int(row)
    for row in np.argsort(gain, kind="stable")[:EACH]:
        if gain[row] < 0:
            yield "fewer correct", int(row)
    equal = np.flatnonzero(gain == 0)
    by_right = equal[np.argsort(right[equal], kind="stable")]
    for row in by_right[:: max(1, len(by_right) - 1)][:EACH]:
        yield "as many correct", int(row)


def _neighbors(arrays: dict[str, np.ndarray], right: np.ndarray, row: int) -> tuple[Neighbor, ...]:
    return tuple(
        Neighbor(_data_uri(image), int(label), bool(correct))
        for image, label, correct in zip(
            arrays["neighbor_image"][row], arrays["neighbor_label"][row], right[row], strict=True
        )
    )


def gallery_arrays(run: Run) -> dict[str, np.ndarray]:
    """The checked arrays of gallery.npz.

    Raises:
        UserError: they cannot be read or do not fit together.
    """
    keys = ("query", "query_label", "neighbor_label", "query_image", "neighbor_image")
    arrays = read_arrays(run.path, GALLERY, keys)
    shape, images = arrays["neighbor_label"].shape, (arrays["query_image"], arrays["neighbor_image"])
    fits = (
        len(shape) == 2
        and arrays["query"].shape == arrays["query_label"].shape == shape[:1]
        and all(array.dtype.kind in "iu" for array in arrays.values())
        and all(image.dtype == np.uint8 and image.shape[-1:] in ((1,), (3,)) and image.size for image in images)
        and images[0].ndim == 4
        and images[0].shape[:1] == shape[:1]
        and images[1].shape == (*shape, *images[0].shape[1:])
    )
    if not fits:
        raise damaged(run.path / GALLERY, "its arrays do not fit together")
    return arrays


def _data_uri(image: np.ndarray) -> str:
    """(h, w, 1 or 3) uint8 as a PNG within the page."""
    buffer = io.BytesIO()
    picture = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
    picture.thumbnail((LARGEST, LARGEST))
    picture.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
