"""What a trained model knows of its own errors: scores of each test query, clean and corrupted."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.utils.data import Dataset

from .accuracy import relevant_counts
from .corruptions import KINDS, LEVELS, Corrupted
from .images import StoredImages
from .neighbors import full_float32
from .precision import autocast, uncompiled
from .seeds import stream_seed

BATCH_SIZE = 256
AT_ONCE = 2**23  # distances that are computed at a time: 32 MiB


class Measured(NamedTuple):
    """What a model says of some images."""

    embeddings: Tensor  # (N, D), of unit length
    lengths: Tensor  # (N,), of the embeddings before they are normalised
    uncertainty: Tensor | None  # (N,), length of the uncertainty embedding; None: the head knows none


def uncertainty_arrays(
    models: Mapping[str, nn.Module], images: Mapping[str, "Dataset[Any]"], precision: str, device: torch.device
) -> dict[str, np.ndarray]:
    """Scores of each test query by which to tell right answers from wrong ones; the content of uncertainty.npz.

    The first condition are the images as they are; of data sets of images, further ones are corruptions of the queries,
    which then search the images as they are.

    Args:
        models: trunk and embedder.
        images: ``test``, and ``gallery`` if the test images are queries that search other images.
        precision: of the models.
        device: of the models.

    Returns:
        With K conditions and Q queries that have an image of their class to find: ``labels`` (Q,), ``kinds`` (K,),
        bytes, ``levels`` (K,), ``right`` (K, Q): whether the first neighbour is of the query's class; ``distance``,
        ``length`` and, if the head knows it, ``uncertainty``, (K, Q), float32.
    """
    test, gallery = images["test"], images.get("gallery")
    modes = {name: model.training for name, model in models.items()}
    for model in models.values():
        model.eval()
    with torch.no_grad(), uncompiled(models["trunk"]):
        clean, labels = measured(models, test, precision, device)
        reference, reference_labels = (
            (clean, labels) if gallery is None else measured(models, gallery, precision, device)
        )
        counted = relevant_counts(labels, reference_labels, gallery is None) > 0
        kept = torch.where(counted)[0]
        own = kept if gallery is None else None
        rows: dict[str, list[np.ndarray]] = {"right": [], "distance": [], "length": [], "uncertainty": []}
        names = []
        for kind, level, queries in _conditions(test):
            found = clean if queries is None else measured(models, queries, precision, device)[0]
            distance, nearest = nearest_other(found.embeddings[kept], reference.embeddings, own)
            names.append((kind, level))
            rows["right"].append((reference_labels[nearest] == labels[kept]).cpu().numpy())
            rows["distance"].append(distance.cpu().numpy())
            rows["length"].append(found.lengths[kept].cpu().numpy())
            if found.uncertainty is not None:
                rows["uncertainty"].append(found.uncertainty[kept].cpu().numpy())
    for name, model in models.items():
        model.train(modes[name])
    return {
        "labels": labels[kept].cpu().numpy(),
        "kinds": np.array([kind for kind, _ in names], dtype="S"),
        "levels": np.array([level for _, level in names]),
        **{name: np.stack(parts) for name, parts in rows.items() if parts},
    }


def _conditions(test: "Dataset[Any]") -> Iterator[tuple[str, int, StoredImages | None]]:
    """Kind, level and queries; None for the images as they are."""
    yield "clean", 0, None
    if not isinstance(test, StoredImages):
        return
    clean = test.transform
    try:
        for kind in KINDS:
            for level in LEVELS:
                test.transform = Corrupted(clean, kind, level)
                test.generator.manual_seed(stream_seed(0, "corruption", kind))
                yield kind, level, test
    finally:
        test.transform = clean


def measured(
    models: Mapping[str, nn.Module], images: Any, precision: str, device: torch.device
) -> tuple[Measured, Tensor]:
    """What the models say of images, and the labels of these, (N,)."""
    parts: list[Measured] = []
    for start in range(0, len(images), BATCH_SIZE):
        batch = images.__getitems__(list(range(start, min(start + BATCH_SIZE, len(images)))))[0]
        with autocast(precision, device):
            parts.append(_of_features(models["embedder"], models["trunk"](batch)))
    embeddings, lengths, uncertainty = zip(*parts, strict=True)
    known = None if uncertainty[0] is None else torch.cat(uncertainty)
    return Measured(torch.cat(embeddings), torch.cat(lengths), known), images.labels


def _of_features(embedder: nn.Module, features: Tensor) -> Measured:
    layers: list[Any] = list(embedder) if isinstance(embedder, nn.Sequential) else [embedder]
    for layer in layers[:-1]:
        features = layer(features)
    last = layers[-1]
    rows = last(features).float()
    if not hasattr(last, "uncertainty"):
        return Measured(normalize(rows), rows.norm(dim=1), None)
    # an introspective head normalises by itself
    lengths = last.semantic_layer(features) if hasattr(last, "semantic_layer") else rows
    return Measured(normalize(rows), lengths.float().norm(dim=1), last.uncertainty(features).float().norm(dim=1))


def nearest_other(query: Tensor, reference: Tensor, own: Tensor | None) -> tuple[Tensor, Tensor]:
    """Distance and place of the nearest row of the reference, other than the query's own.

    Args:
        query: (Q, D).
        reference: (R, D).
        own: (Q,), the place of each query in the reference; None: it is in none.

    Shapes:
        -> (Q,), (Q,)

    Example:
        >>> line = torch.tensor([0.0, 3.0, 1.0])[:, None]
        >>> nearest_other(line, line, torch.arange(3))
        (tensor([1., 2., 1.]), tensor([2, 2, 0]))
    """
    squares = reference.square().sum(dim=1)
    found = []
    with full_float32(query.device.type):
        for part in torch.arange(len(query), device=query.device).split(max(1, AT_ONCE // len(reference))):
            distances = squares - 2 * query[part] @ reference.T + query[part].square().sum(dim=1, keepdim=True)
            if own is not None:
                distances.scatter_(1, own[part, None], torch.inf)
            found.append(distances.min(dim=1))
    nearest = torch.cat([each.indices for each in found])
    return (query - reference[nearest]).norm(dim=1), nearest  # without the rounding of a difference of products
