"""Train one classifier, from a configuration to a finished run directory."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..config.classification import ClassificationConfig
from ..config.classification_data import ClassificationData
from ..config.schema import RunOptions
from ..data import ImageArrays
from ..data.split import Split
from ..errors import UserError
from ..runs.schema import CLASSIFICATION, SCHEMA
from ..runs.writer import RunDir
from ..training.device import choose_device, device_name, repeatable
from ..training.train import carry_out
from .data import identical_images, load_classification
from .training import ClassifierTraining


def train_classifier(config: ClassificationConfig, options: RunOptions, wait: bool = True) -> Path:
    """The directory of a finished run; trains first, from the last checkpoint if there is one, unless it is done.

    Args:
        config: what to train.
        options: where and how.
        wait: whether to wait for another process that trains this run.

    Raises:
        UserError: the data cannot be read or have too many test images among the training images; the finished run was
            trained on other images; the parts do not go together; the command runs under torchrun.
        RunLockedError: another process trains this run, and ``wait`` is false.
        TrainingError: the training failed, for example because it diverged.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("classify trains in one process: run it without torchrun, and several seeds with suite")
    data, split, identical = read_classification(config)
    device = choose_device(options.device)
    folder = RunDir(options.runs, config.identity())

    def work() -> None:
        folder.prepare()
        folder.write_environment(device_name(device), data.content_hash)
        total = config.protocol.epochs * config.protocol.iterations(len(split.train))
        label = f"{config.loss.name} {config.mix.name} seed {config.seed}"
        with (
            repeatable(options.threads),
            tqdm(total=total, desc=label, disable=options.quiet, dynamic_ncols=True) as progress,
        ):
            training = ClassifierTraining(config, data, split, device, folder, progress, options.per_gpu)
            training.run()
        assert training.scores is not None
        scores = {name: values.numpy() for name, values in training.scores.items()}
        folder.write_arrays("queries", {"labels": data.labels[split.test], **scores})
        machine = {"device": str(device), "threads": options.threads, "processes": 1}
        cost = {**training.meter.state_dict(), **machine}
        folder.finish({"run": folder.name, **result(config, data, split, identical, training, cost)})

    carry_out(work, folder, data, wait)
    return folder.path


def read_classification(config: ClassificationConfig) -> tuple[ImageArrays, Split, int]:
    """The images, their split, and how many test images equal a training image; cached as the data set read last.

    Raises:
        UserError: the data cannot be read, have more such images than allowed, or too few for a batch.
    """
    try:
        data, split, identical = _load(config.data)
    except (OSError, ValueError) as error:
        raise UserError(f"data={config.data.name}: {error}") from error
    if identical > config.data.identical_allowed * len(split.test):
        raise UserError(
            f"data={config.data.name}: {identical} of {len(split.test)} test images equal a training image; take them "
            "out, or, where the split is published so, declare their share with data.identical_allowed"
        )
    if len(split.train) < config.protocol.batch_size:
        raise UserError(
            f"protocol.batch_size must be at most {len(split.train)}, the training images of data={config.data.name}, "
            f"but got {config.protocol.batch_size}"
        )
    return data, split, identical


_read_last: dict[str, tuple[ImageArrays, Split, int]] = {}


def _load(config: ClassificationData) -> tuple[ImageArrays, Split, int]:
    key = repr(config)  # the list of held-out faces cannot be hashed
    if key not in _read_last:
        data, split = load_classification(config)
        _read_last.clear()
        _read_last[key] = (data, split, identical_images(data, split))
    return _read_last[key]


def result(
    config: ClassificationConfig,
    data: ImageArrays,
    split: Split,
    identical: int,
    training: ClassifierTraining,
    cost: dict[str, Any],
) -> dict[str, Any]:
    """The content of result.json, without the name of the run.

    The last epoch counts, which is fixed before the training. The best one on the test set is an oracle; there is none
    where the epochs were not scored on the test set.
    """
    history, primary = training.history, CLASSIFICATION.primary
    scored = [entry for entry in history if entry["test"] is not None]
    rules = {"last": history[-1]}
    if len(scored) == len(history):
        rules["test"] = max(scored, key=lambda entry: entry["test"][primary])
    steps, batch_size = history[-1]["iterations"], config.protocol.batch_size
    rows = {"train": split.train, "val": split.val, "test": split.test}
    return {
        "schema": SCHEMA,
        "task": CLASSIFICATION.name,
        "loss": config.loss.name,
        "mix": config.mix.name,
        "seed": config.seed,
        "data": {
            "name": data.name,
            "hash": data.content_hash,
            "image_size": data.image_size,
            "channels": data.channels,
            "classes": {name: len(np.unique(data.labels[part])) for name, part in rows.items()},
            "images": {name: len(part) for name, part in rows.items()},
            "identical": identical,
        },
        "trunk": config.trunk.name,
        "protocol": config.protocol.name,
        "protocol_version": config.protocol.version,
        "batch_size": batch_size,
        "images_seen": steps * batch_size,
        "method_activity": None,
        "test_scorings": len(scored),
        "selection": {
            rule: {"oracle": rule != "last", **{key: entry[key] for key in ("epoch", "val", "test")}}
            for rule, entry in rules.items()
        },
        "history": history,
        "cost": {
            "seconds_per_step": training.seconds / steps,
            "images_per_second": steps * batch_size / training.seconds,
            "train_seconds": training.seconds,
            **cost,
        },
    }
