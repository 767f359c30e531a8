"""The leakage audit: test and validation images that are copies, or nearly, of training images."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ..config.data import DataConfig
from ..errors import UserError
from .arrays import ImageArrays
from .feature_arrays import FeatureArrays
from .ragged import RaggedImages, digest
from .split import Split

THRESHOLD = 0.995  # correlation of thumbnails from which two images are near-identical
SIDE = 16  # of a thumbnail
COMPONENTS = 32  # of the bound that rules out most pairs
ROWS, COLUMNS = 1024, 8192  # of a block of comparisons: 32 MiB
# Trainings that follow each other in a process share data and split; what was loaded again is audited again.
_audits: WeakKeyDictionary[ImageArrays, dict[bytes, dict[str, Any]]] = WeakKeyDictionary()


def audit_or_refuse(data: ImageArrays, split: Split, config: DataConfig) -> dict[str, Any]:
    """The :func:`audit` of a split, and the shares that the configuration allows: the block ``audit`` of a result.

    It is computed in every process and never read from a file, which anybody could have edited.

    Raises:
        ValueError: if the pixels are not those that were decoded.
        UserError: if no verdict could rest on runs of this split, see :func:`leaks`.
    """
    key = hashlib.sha256()
    for rows in split:
        key.update(b"|" if rows is None else b"|" + rows.tobytes())
    audits = _audits.setdefault(data, {})
    if key.digest() not in audits:
        audits[key.digest()] = audit(data, split)
    found = audits[key.digest()]
    if problems := leaks(found, config.twins_allowed, config.identical_allowed):
        raise UserError(f"data={data.name}: {'; '.join(problems)}")
    return {**found, "twins_allowed": config.twins_allowed, "identical_allowed": config.identical_allowed}


def audit(data: ImageArrays, split: Split) -> dict[str, Any]:
    """Counts of what the two sides of a split have in common.

    Test images (queries and gallery) are compared with all images of training and validation, validation images with
    those of training. Two images are near-identical when their :func:`thumbnails` correlate at ``threshold`` or more;
    identical images have equal pixels and count as near-identical too. The counts are of images of the later side that
    have such a twin on the earlier side, not of pairs.

    Returns:
        ``shared_classes``, ``identical`` and ``near_identical`` of the test side, ``images`` on it, ``threshold``,
        ``validation`` with the same three counts and ``images`` for the validation side, and ``examples``: up to five
        pairs of class names of near-identical images, test first. Where the queries search a gallery of its own, also
        ``queries`` and ``queries_in_gallery``, of which the gallery holds an identical image.

    Raises:
        UserError: if the pixels are not those that were decoded.
    """
    if isinstance(data, FeatureArrays):  # only equal rows are looked for: a correlation of features means nothing
        vectors, digests = np.zeros((len(data.labels), 1), np.float32), data.row_digests()
    else:
        vectors, digests = thumbnails(data.images), _digests(data.images)
    test = split.test if split.gallery is None else np.union1d(split.test, split.gallery)
    found, twin = _common(data.labels, vectors, digests, test, np.union1d(split.train, split.val))
    validation, _ = _common(data.labels, vectors, digests, split.val, split.train)
    pairs = {(data.class_names[data.labels[a]], data.class_names[data.labels[b]]) for a, b in twin.items()}
    more: dict[str, Any] = {"threshold": THRESHOLD, "validation": validation}
    if split.gallery is not None:
        copies = int(np.isin(digests[split.test], digests[split.gallery]).sum())
        more |= {"queries": len(split.test), "queries_in_gallery": copies}
    return {**found, **more, "examples": sorted(map(list, pairs))[:5]}


def leaks(found: Mapping[str, Any], twins_allowed: float, identical_allowed: float) -> list[str]:
    """One sentence per finding of an :func:`audit` that makes results on the split worthless; empty if there is none.

    No class may be on both sides of the test or validation split. Identical images may be on both sides, or among the
    queries and in the gallery, only where the configuration declares their share, as for sets published with some.
    Near-identical test images are allowed up to a share: in a class-disjoint split the twin belongs to another class,
    so it is an ambiguous drawing rather than a training image that leaked, and alphabets are full of them. A query's
    score moves by at most 100 points, so twins move a mean by at most 100 times their share, for the baseline as for
    the method.

    Args:
        found: what :func:`audit` returned.
        twins_allowed: share of the test images that may be near-identical, 0 to 1.
        identical_allowed: share of the images of a side, or of the queries, that may be identical, 0 to 1.
    """
    problems = []
    for side, counts in (("test", found), ("validation", found["validation"])):
        if counts["shared_classes"]:
            problems.append(f"{counts['shared_classes']} classes are on both sides of the {side} split")
        if counts["identical"] > identical_allowed * counts["images"]:
            problems.append(
                f"{counts['identical']} {side} images are identical to images on the training side; take them out, or, "
                "where the split is published so, declare their share with data.identical_allowed"
            )
    queries, copies = found.get("queries", 0), found.get("queries_in_gallery", 0)
    if copies > identical_allowed * queries:
        problems.append(
            f"{copies} of {queries} queries are identical to a gallery image and would find themselves; take them out "
            "of the gallery, or, where the data are published so, declare their share with data.identical_allowed"
        )
    if found["near_identical"] > twins_allowed * found["images"]:
        pairs = "; ".join(" and ".join(pair) for pair in found["examples"][:3])
        share = found["near_identical"] / found["images"]
        problems.append(
            f"{found['near_identical']} of {found['images']} test images are near-identical to images on the training "
            f"side (such as {pairs}), but at most {100 * twins_allowed:g} % may be; take them out, or, where such "
            f"pairs belong to the subject, declare it with data.twins_allowed={share:.3f} or more"
        )
    return problems


def _common(
    labels: np.ndarray, vectors: np.ndarray, digests: np.ndarray, later: np.ndarray, earlier: np.ndarray
) -> tuple[dict[str, int], dict[int, int]]:
    """The counts, and the twin in ``earlier`` per near-identical row of ``later``."""
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
    r"""A row of ``others`` per query whose correlation with it reaches the threshold, or -1 where there is none.

    Exact, block by block. With P the projection on the leading components and q, o the residuals of two unit vectors
    u, v, the Cauchy-Schwarz inequality gives

    .. math:: u \cdot v \le Pu \cdot Pv + \|q\| \, \|o\|

    so only pairs whose bound, an inner product of 33 numbers, reaches the threshold are compared in full. A query is
    dropped once it has a twin.

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
                similar = np.einsum("nd,nd->n", queries[query], others[other]) >= threshold
                twin[query[similar]] = other[similar]
    return twin


def _components(vectors: np.ndarray) -> np.ndarray:
    """(D, at most 32): leading principal directions of every k-th vector."""
    sample = vectors[:: 1 + len(vectors) // 4096]
    return np.linalg.eigh(sample.T @ sample)[1][:, -COMPONENTS:]


def _with_rest(vectors: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """(N, components + 1): projections, and the length of the residual."""
    projected = vectors @ basis
    rest = np.sqrt(np.clip((vectors**2).sum(axis=1) - (projected**2).sum(axis=1), 0, None))
    return np.column_stack([projected, rest]).astype(np.float32)


def thumbnails(images: np.ndarray | RaggedImages) -> np.ndarray:
    """(N, 16 * 16 * C) float32: mean colours of a 16 x 16 grid, less their mean, at unit length.

    The inner product of two of them is their correlation, which compression, resizing and brightness hardly change. An
    image of a single colour becomes zeros, which correlate with nothing.

    Args:
        images: (N, H, W, C) uint8, or images of several sizes.
    """
    if isinstance(images, np.ndarray):
        down, across = (_averaging(size) for size in images.shape[1:3])
        parts = []
        for start in range(0, len(images), ROWS):
            block = images[start : start + ROWS].astype(np.float32)
            parts.append(np.einsum("ah,nhwc,bw->nabc", down, block, across, optimize=True))
        grids = np.concatenate(parts)
    else:
        grids = np.stack([_grid(image) for image in images])
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
    """(16, size): each row averages one sixteenth of a side; pixels cut by its ends count in part."""
    edges = np.arange(SIDE + 1) * size / SIDE
    pixel = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (np.clip(overlap, 0, None) * SIDE / size).astype(np.float32)


def _digests(images: np.ndarray | RaggedImages) -> np.ndarray:
    """(N,), 40 bytes each: equal for images of equal size and pixels.

    Raises:
        UserError: if the pixels of a decoded image are not those of the digest that was kept with them.
    """
    pixels = np.stack([np.frombuffer(digest(image), dtype=np.uint8) for image in images])
    sizes = np.array([image.shape[:2] for image in images], dtype="<i4")
    if isinstance(images, RaggedImages):
        changed = np.flatnonzero((pixels != images.digests).any(axis=1))
        if len(changed):
            raise UserError(
                f"image {changed[0]} has changed since it was decoded; delete the directory of decoded images (data "
                "check names it), so that the images are decoded again"
            )
    return np.ascontiguousarray(np.concatenate([pixels, sizes.view(np.uint8)], axis=1)).view("V40")[:, 0]
