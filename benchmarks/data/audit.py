"""The leakage audit: which test or validation images the training has, in effect, already seen."""

import hashlib
import json
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data.arrays import ImageArrays
from benchmarks.data.audit_rule import IDENTICAL_ALLOWED, THRESHOLD, TWINS_ALLOWED, leaks
from benchmarks.data.split import Split
from benchmarks.errors import UserError
from benchmarks.runs.writer import write_whole

SIDE = 16  # of a thumbnail
COMPONENTS = 32  # of the bound that spares most comparisons
ROWS, COLUMNS = 1024, 8192  # of a block of comparisons: 32 MiB
WORTH_A_FILE = 5  # seconds of auditing
_remembered: dict[str, dict[str, Any]] = {}


def audit_or_refuse(data: ImageArrays, split: Split, group: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """:func:`audit`, kept in ``folder``, with the shares that the configuration's ``data`` group allows.

    Raises:
        UserError: if no table could be made of runs on this split, see :func:`benchmarks.data.audit_rule.leaks`.
    """
    twins = group.get("twins_allowed", TWINS_ALLOWED)
    identical = group.get("identical_allowed", IDENTICAL_ALLOWED)
    found = cached_audit(data, split, folder)
    if problems := leaks(found, twins, identical):
        raise UserError(f"data={data.name}: {'; '.join(problems)}")
    return {**found, "twins_allowed": twins, "identical_allowed": identical}


def cached_audit(data: ImageArrays, split: Split, folder: Path) -> dict[str, Any]:
    """:func:`audit`, remembered: within a process, and in a file of ``folder`` where it took long."""
    key = hashlib.sha256(f"{data.content_hash} {SIDE} {THRESHOLD}".encode())
    for rows in split:
        key.update(b"|" if rows is None else b"|" + np.ascontiguousarray(rows, dtype="<i8").tobytes())
    name = key.hexdigest()[:12]
    path = folder / f"{name}.json"
    if name in _remembered:
        return _remembered[name]
    if path.exists():
        found = json.loads(path.read_text())
    else:
        started = time.perf_counter()
        found = audit(data, split)
        if time.perf_counter() - started > WORTH_A_FILE:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(found).encode())
    _remembered[name] = found
    return found


def audit(data: ImageArrays, split: Split) -> dict[str, Any]:
    """What both sides of a split have in common, counted.

    Test images (queries and gallery) stand against all images of training and validation, validation images against
    those of training. Two images are near-identical when their :func:`thumbnails` correlate at ``threshold`` or more;
    identical ones are equal byte for byte and counted as near-identical too. Counted are images of the later side
    that have such a twin on the earlier side, not pairs.

    Returns:
        ``shared_classes``, ``identical`` and ``near_identical`` of the test side, ``images`` on it, ``threshold``,
        ``validation`` with the same three counts and ``images`` for the validation side, and ``examples``: up to five
        pairs of class names of near-identical images, test first.
    """
    test = _joined(split.test, getattr(split, "gallery", None))
    vectors = thumbnails(data.images)
    digests = _digests(data.images)
    found, twin = _common(data.labels, vectors, digests, test, _joined(split.train, split.val))
    validation, _ = _common(data.labels, vectors, digests, split.val, split.train)
    pairs = {(data.class_names[data.labels[a]], data.class_names[data.labels[b]]) for a, b in twin.items()}
    return {**found, "threshold": THRESHOLD, "validation": validation, "examples": sorted(map(list, pairs))[:5]}


def _common(
    labels: np.ndarray, vectors: np.ndarray, digests: np.ndarray, later: np.ndarray, earlier: np.ndarray
) -> tuple[dict[str, int], dict[int, int]]:
    """The counts, and for each near-identical row of ``later`` its twin in ``earlier``."""
    identical = np.isin(digests[later], digests[earlier])
    twin = find_twins(vectors[later], vectors[earlier], THRESHOLD)
    counts = {
        "shared_classes": len(np.intersect1d(labels[later], labels[earlier])),
        "identical": int(identical.sum()),
        "near_identical": int(((twin >= 0) | identical).sum()),
        "images": len(later),
    }
    return counts, {int(later[i]): int(earlier[twin[i]]) for i in np.flatnonzero(twin >= 0)}


def find_twins(queries: np.ndarray, others: np.ndarray, threshold: float) -> np.ndarray:
    r"""For each query a row of ``others`` whose correlation with it reaches the threshold, or -1 where there is none.

    Exact, block by block. With P the leading components and q, o what they leave of two unit vectors,
    Cauchy and Schwarz give

    .. math:: u \cdot v \le Pu \cdot Pv + \|q\| \, \|o\|

    so that only pairs whose bound, one product of 33 numbers, reaches the threshold are compared in full. A query that
    has found a twin looks no further.

    Shapes:
        (Q, D), (M, D) -> (Q,), int64
    """
    twin = np.full(len(queries), -1)
    if not len(queries) or not len(others):
        return twin
    basis = _components(others)
    bounded_queries, bounded_others = _with_rest(queries, basis), _with_rest(others, basis)
    for row in range(0, len(queries), ROWS):
        for column in range(0, len(others), COLUMNS):
            waiting = row + np.flatnonzero(twin[row : row + ROWS] < 0)
            bound = bounded_queries[waiting] @ bounded_others[column : column + COLUMNS].T
            found = np.argwhere(bound >= threshold - 1e-5)  # 1e-5: rounding of float32
            for some in np.array_split(found, 1 + len(found) // COLUMNS):
                query, other = waiting[some[:, 0]], column + some[:, 1]
                alike = np.einsum("nd,nd->n", queries[query], others[other]) >= threshold
                twin[query[alike]] = other[alike]
    return twin


def _components(vectors: np.ndarray) -> np.ndarray:
    """(D, at most 32): leading directions of an even sample."""
    sample = vectors[:: 1 + len(vectors) // 4096]
    return np.linalg.eigh(sample.T @ sample)[1][:, -COMPONENTS:]


def _with_rest(vectors: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """(N, components + 1): projections, and the length of what they leave."""
    projected = vectors @ basis
    rest = np.sqrt(np.clip((vectors**2).sum(axis=1) - (projected**2).sum(axis=1), 0, None))
    return np.column_stack([projected, rest]).astype(np.float32)


def thumbnails(images: Any) -> np.ndarray:
    """(N, 16 * 16 * C) float32: mean colours of a 16 x 16 grid, less their mean, at unit length.

    So a product of two of them is their correlation, which compression, another size and another brightness hardly
    change. An image of one colour becomes zeros, and like nothing.

    Args:
        images: (N, H, W, C) uint8, or pictures of different sizes with ``one(i)`` and ``len``.
    """
    if isinstance(images, np.ndarray):
        down, across = (_averaging(size) for size in images.shape[1:3])
        parts = []
        for start in range(0, len(images), ROWS):
            block = images[start : start + ROWS].astype(np.float32)
            parts.append(np.einsum("ah,nhwc,bw->nabc", down, block, across, optimize=True))
        grids = np.concatenate(parts)
    else:
        grids = np.stack([_grid(images.one(i)) for i in range(len(images))])
    vectors = grids.reshape(len(grids), -1)
    vectors -= vectors.mean(axis=1, keepdims=True)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[length[:, 0] < 1e-3] = 0  # rounding of a mean
    return vectors / np.maximum(length, 1e-3)


def _grid(image: np.ndarray) -> np.ndarray:
    height, width, channels = image.shape
    rows = _averaging(height) @ image.reshape(height, -1).astype(np.float32)
    return _averaging(width) @ rows.reshape(SIDE, width, channels)


@lru_cache(maxsize=256)
def _averaging(size: int) -> np.ndarray:
    """(16, size): each row averages one sixteenth of a side, pixels cut by its ends in part."""
    edges = np.arange(SIDE + 1) * size / SIDE
    pixel = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (np.clip(overlap, 0, None) * SIDE / size).astype(np.float32)


def _digests(images: Any) -> np.ndarray:
    """(N,) of 16 bytes: equal for equal images of equal size."""
    one = images.__getitem__ if isinstance(images, np.ndarray) else images.one
    digests = []
    for i in range(len(images)):
        image = np.ascontiguousarray(one(i))
        digests.append(hashlib.blake2b(image.data, digest_size=16, salt=repr(image.shape).encode()[:16]).digest())
    return np.frombuffer(b"".join(digests), dtype="V16")


def _joined(first: np.ndarray, second: np.ndarray | None) -> np.ndarray:
    return first if second is None else np.union1d(first, second)
