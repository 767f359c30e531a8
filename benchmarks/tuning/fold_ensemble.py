"""Scores of the models of all folds of a seed: the mean over the models, and of their concatenated embeddings."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError
from ..jobs.runner import TrainingJob
from ..runs.checked_json import Fields, parsed
from ..runs.schema import PER_QUERY, RECALL_AT, SCHEMA, recall_at
from ..runs.writer import RunDir, run_name, write_whole
from ..training.accuracy import RetrievalAccuracy
from ..training.device import choose_device, repeatable
from ..training.train import read_data


class Embedded(NamedTuple):
    """Concatenated embeddings of the test images from several models."""

    queries: Tensor  # (Q, D), normalised
    labels: Tensor  # (Q,)
    gallery: tuple[Tensor, Tensor] | None  # (G, D), (G,): embeddings and labels; None: the queries


def write_concatenated(tasks: Sequence[TrainingJob]) -> list[Path]:
    """Write the separated and concatenated scores of finished trainings; the paths of the json files.

    Trainings that differ only in the fold form a group: the mean of their scores is the *separated* score, the score of
    their normalised concatenated embeddings the *concatenated* one. Groups of one fold are left out, and
    so are raw features, which every fold shares.

    Raises:
        UserError: a training kept no embeddings, its test images differ from the other folds', or a file is damaged.

    Source: Musgrave, Belongie, Lim, "A Metric Learning Reality Check", ECCV 2020.
    """
    together: dict[str, list[TrainingJob]] = {}
    trained = [task for task in tasks if not task.config.loss.is_raw]
    for task in sorted(trained, key=lambda task: task.config.fold):
        identity = {key: value for key, value in task.config.identity().items() if key != "fold"}
        together.setdefault(run_name(identity), []).append(task)
    return [_write(name, group) for name, group in together.items() if len(group) > 1]


def _write(name: str, group: Sequence[TrainingJob]) -> Path:
    config, options = group[0].config, group[0].options
    path = Path(options.runs) / "concatenated" / f"{name}.json"
    runs = [task.folder.name for task in group]
    if path.exists() and Fields.of(path).get("runs", list) == runs:
        return path
    path.parent.mkdir(exist_ok=True)
    embedded = read_embedded(group)
    with repeatable(options.threads):
        scores, of_queries = score(embedded, choose_device(options.device), recall_at(config.data.kind))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, labels=embedded.labels.numpy(), **of_queries)
    write_whole(path.with_suffix(".npz"), buffer.getvalue())
    content = {
        "schema": SCHEMA,
        "data": config.data.name,
        "loss": config.loss.name,
        "method": config.method.name,
        "seed": config.seed,
        "folds": [task.config.fold for task in group],
        "tuned": None if config.tuned is None else asdict(config.tuned),
        "runs": runs,
        "separated": separated([parsed(task.folder.result) for task in group]),
        "concatenated": scores,
        "embedding_size": embedded.queries.shape[1],
    }
    write_whole(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
    return path


def separated(results: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean over several results of the test scores at the epoch that validation chose."""
    chosen = [result["selection"]["validation"]["test"] for result in results]
    return {metric: float(np.mean([scores[metric] for scores in chosen])) for metric in chosen[0]}


def read_embedded(group: Sequence[TrainingJob]) -> Embedded:
    """The concatenated embeddings of several trainings, normalised per training and then as a whole."""
    folders = [task.folder for task in group]
    labels = _labels(folders[0])
    for folder in folders[1:]:
        if not np.array_equal(labels, _labels(folder)):
            raise UserError(f"{folders[0].path} and {folder.path} were not scored on the same test images")
    queries = _concatenated(folders, "embeddings")
    gallery = None
    data, split = read_data(group[0].config)
    if split.gallery is not None:
        gallery = _concatenated(folders, "gallery_embeddings"), torch.from_numpy(data.labels[split.gallery])
    return Embedded(queries, torch.from_numpy(labels), gallery)


def _labels(folder: RunDir) -> np.ndarray:
    with np.load(folder.path / "queries.npz", allow_pickle=False) as queries:
        return np.array(queries["labels"])


def _concatenated(folders: Sequence[RunDir], name: str) -> Tensor:
    parts = []
    for folder in folders:
        path = folder.path / f"{name}.npy"
        if not path.exists():
            raise UserError(f"{path} is missing: train with protocol.keep_embeddings=true")
        parts.append(F.normalize(torch.from_numpy(np.load(path, allow_pickle=False)), dim=1))
    return F.normalize(torch.cat(parts, dim=1), dim=1)


def score(
    embedded: Embedded, device: torch.device, recalls: Sequence[int] = RECALL_AT
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """All metrics, and the (Q,) scores of each query by the name of the metric."""
    calculator = RetrievalAccuracy(device, recall_at=recalls)
    found = calculator.get_accuracy(embedded.queries, embedded.labels, *(embedded.gallery or ()))
    of_queries = calculator.retrieved.scores
    return found, {name: of_queries[name].cpu().numpy() for name in PER_QUERY}
