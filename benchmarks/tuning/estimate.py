"""What a study takes, told before it starts."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ..config import RunConfig, RunOptions
from ..run import read_data
from ..trainings import Task, train_quietly
from . import ledger
from .study import Cell, StudyConfig, trial_config
from .summary import images_of

PROBE: dict[str, Any] = {
    "epochs": 3,
    "iterations_per_epoch": 4,
    "evaluate_every": 3,
    "patience": None,
    "warmup_epochs": 0,
}


class Cost(NamedTuple):
    """Of one training."""

    seconds: float
    bytes: int
    measured: str  # how it is known


def estimate(study: StudyConfig, cells: Sequence[Cell], workers: int) -> str:
    """A table of the searches and a sentence: trials, trainings, images, hours, disk."""
    lines = ledger.read(study.folder / "ledger.jsonl")
    costs: dict[str, Cost] = {}
    rows, trainings, images, seconds, size = [], 0, 0, 0.0, 0
    for cell in cells:
        name = f"{cell.loss}/none" if cell.bare else cell.name
        if name not in costs:
            costs[name] = _from_ledger(study, name, lines) or probe(*trial_config(study, cell, {}))
        cost = costs[name]
        left = cell.trials - len({line["trial"] for line in lines if line["cell"] == cell.name})
        own = max(left - _shared(study, cell), 0) * len(study.folds)
        drawn = cell.trials * sum(images_of(study, cell))
        rows.append(f"  {cell.name:<32} {cell.trials:>5} trials {drawn:>15,} images, {cost.seconds:8.1f} s a training")
        trainings += own
        images += drawn
        seconds += own * cost.seconds
        size += own * cost.bytes
    known = " and ".join(sorted({cost.measured for cost in costs.values()}))
    return "\n".join(
        [
            f"study {study.name}: {len(cells)} searches, {sum(cell.trials for cell in cells)} trials, at most:",
            *rows,
            f"{trainings} trainings to do (those that searches share counted once), {images:,} images in all budgets, "
            f"about {seconds / workers / 3600:.2f} hours on {workers} workers, {size / 1e6:.0f} MB of disk",
            f"(time by {known})",
        ]
    )


def estimate_final(study: StudyConfig, trainings: Mapping[str, int], workers: int) -> str:
    """A sentence on so many trainings for each search: hours and disk, by what its trials took."""
    lines = ledger.read(study.folder / "ledger.jsonl")
    seconds, size = 0.0, 0
    for name, number in trainings.items():
        cost = _from_ledger(study, name, lines)
        assert cost is not None  # it has a score
        seconds += number * cost.seconds
        size += number * cost.bytes
    return (
        f"{sum(trainings.values())} trainings, about {seconds / workers / 3600:.2f} hours on {workers} workers, by what"
        f" the trials took, and {size / 1e6:.0f} MB of disk beside the embeddings that are kept"
    )


def _shared(study: StudyConfig, cell: Cell) -> int:
    """Trials of a search whose trainings another one does."""
    if cell.method == "none+" and study.sampler == "quasi_random":
        return study.trials
    return int(cell.method != "none")  # the loss as declared, without augmentation


def _from_ledger(study: StudyConfig, cell: str, lines: Sequence[ledger.Line]) -> Cost | None:
    folds = [fold for line in lines if line["cell"] == cell and not line["error"] for fold in line["folds"]]
    if not folds:
        return None
    seconds = sum(fold["seconds"] for fold in folds) / len(folds)
    return Cost(seconds, _size(study.folder / "trials" / folds[-1]["run"]), "the trials that have ended")


def probe(config: RunConfig, options: RunOptions) -> Cost:
    """The cost of a whole training, from a very short one.

    What a method does only late in a training is seen as far as it begins in a third of it.
    """
    protocol = config.protocol
    _, split = read_data(config)
    steps = protocol.epochs * protocol.iterations(len(split.train))
    evaluations = 1 + -(-protocol.epochs // protocol.evaluate_every)
    with tempfile.TemporaryDirectory() as folder:
        short = replace(config, protocol=replace(protocol, **PROBE))
        task = Task(short, replace(options, runs=folder))
        train_quietly(task)
        cost = json.loads(task.folder.result.read_text())["cost"]
        size = _size(task.folder.path)
    per_evaluation = (cost["total_seconds"] - cost["train_seconds"]) / 2
    seconds = steps * cost["seconds_per_step"] + evaluations * per_evaluation
    return Cost(seconds, size, "a probe of a dozen steps")


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
