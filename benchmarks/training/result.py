"""The content of result.json."""

from dataclasses import asdict
from typing import Any

import numpy as np

from ..config.compose import RunConfig
from ..data import ImageArrays
from ..data.split import Split
from ..runs.schema import SCHEMA
from .raw import RawScoring
from .selection import selection
from .training import Training


def result(
    config: RunConfig, data: ImageArrays, split: Split, training: Training | RawScoring, cost: dict[str, Any]
) -> dict[str, Any]:
    """The content of result.json, without the name of the run and the audit of its data.

    Args:
        config: of the run.
        data: images and labels.
        split: rows of the images.
        training: that has ended, or the scoring of features that nothing was trained on.
        cost: totals of the meter, and device, threads and processes.
    """
    history = training.evaluation.history
    steps, batch_size = history[-1]["iterations"], config.protocol.batch_size
    seconds = training.trainer.seconds if isinstance(training, Training) else 0.0
    rows = {name: part for name, part in split._asdict().items() if part is not None}
    return {
        "schema": SCHEMA,
        "loss": config.loss.name,
        "method": config.method.name,
        "fold": config.fold,
        "seed": config.seed,
        "data": {
            "name": data.name,
            "hash": data.content_hash,
            "image_size": data.image_size,
            "channels": data.channels,
            "classes": {name: len(np.unique(data.labels[part])) for name, part in rows.items()},
            "images": {name: len(part) for name, part in rows.items()},
        },
        "trunk": config.trunk.name,
        "embedding_size": training.embedding_size,
        "protocol": config.protocol.name,
        "protocol_version": config.protocol.version,
        "batch_size": batch_size,
        "images_seen": steps * batch_size,
        "tuned": None if config.tuned is None else asdict(config.tuned),
        "controls": config.method.controls,
        "method_activity": training.trainer.activity.summary() if isinstance(training, Training) else None,
        "test_scorings": training.evaluation.test_scorings(),
        "selection": selection(history, training.evaluation.final),
        "history": history,
        "cost": {
            "seconds_per_step": seconds / steps if steps else 0.0,
            "images_per_second": steps * batch_size / seconds if steps else 0.0,
            "train_seconds": seconds,
            **cost,
        },
    }
