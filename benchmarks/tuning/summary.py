"""What a study's folder says of it: its budget before it starts, its best trials when they end."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmarks.config.compose import untrusted
from benchmarks.config.lists import Comparison
from benchmarks.errors import UserError
from benchmarks.runs.schema import SCHEMA
from benchmarks.runs.writer import run_name, write_whole
from benchmarks.training.train import read_data
from benchmarks.tuning import ledger
from benchmarks.tuning.space import describe, on_edge
from benchmarks.tuning.study import Cell, StudyConfig, trial_config

OBJECTIVE = "mean over folds of best validation mean_average_precision_at_r"


def images_of(study: StudyConfig, cell: Cell) -> list[int]:
    """Images that one training of each fold draws at most; patience may end it before.

    Raises:
        UserError: if the data cannot be read.
    """
    config, _ = trial_config(study, cell, {})
    images = []
    for fold in study.folds:
        _, split = read_data(replace(config, fold=fold))
        iterations = config.protocol.iterations(len(split.train))
        images.append(config.protocol.epochs * iterations * config.protocol.batch_size)
    return images


def describe_study(study: StudyConfig, cells: Sequence[Cell]) -> dict[str, Any]:
    """The content of study.json."""
    config, _ = trial_config(study, cells[0], {})
    return {
        "schema": SCHEMA,
        "study": study.name,
        "data": config.data["name"],
        "data_hash": read_data(config)[0].content_hash,
        "protocol": config.protocol.name,
        "objective": OBJECTIVE,
        "folds": study.folds,
        "seed": study.seed,
        "sampler": study.sampler,
        "pruning": study.pruning,
        "trials": study.trials,
        "extra_trials": study.plus_trials - study.trials,
        "search": {"data": study.data, "comparisons": [asdict(comparison) for comparison in study.comparisons]},
        "overrides": study.overrides,
        "cells": {
            cell.name: {
                "space": {key: describe(distribution) for key, distribution in cell.space.items()},
                "budget_trials": cell.trials,
                "budget_images": cell.trials * sum(images_of(study, cell)),
                "declared": cell.declared,
                "training": run_name(trial_config(study, cell, {})[0].identity()),
            }
            for cell in cells
        },
    }


def write_study(study: StudyConfig, cells: Sequence[Cell]) -> None:
    """Write study.json.

    Raises:
        UserError: as :func:`refuse_another` does.
    """
    study.folder.mkdir(parents=True, exist_ok=True)
    path = study.folder / "study.json"
    with FileLock(f"{path}.lock"):
        refuse_another(study, cells)
        write_whole(path, (json.dumps(describe_study(study, cells), indent=1) + "\n").encode())


def refuse_another(study: StudyConfig, cells: Sequence[Cell]) -> None:
    """See that a study which was begun in the folder is this one.

    Raises:
        UserError: if it is not; what differs is named.
    """
    path = study.folder / "study.json"
    if not path.exists():
        return
    there, asked = json.loads(path.read_text()), describe_study(study, cells)
    changed = [key for key in asked if key != "overrides" and asked[key] != there.get(key)]
    if changed:
        raise UserError(
            f"{study.folder} holds a study with other {', '.join(changed)}: trials of two searches cannot be compared; "
            "say runs=ANOTHER_FOLDER, or ask for the search that was begun"
        )


def begun(name: str, runs: str, overrides: Sequence[str]) -> StudyConfig:
    """The study of that name under ``runs``, as it was begun.

    Args:
        overrides: of each training, beside those that it was begun with.

    Raises:
        UserError: if there is none.
    """
    path = Path(runs) / "studies" / name / "study.json"
    if not path.exists():
        raise UserError(f"{path} does not exist: tune first, python -m benchmarks tune {name} runs={runs}")
    content = json.loads(path.read_text())
    kept = {key: content[key] for key in ("folds", "seed", "trials", "extra_trials", "sampler", "pruning")}
    comparisons = [Comparison(**comparison) for comparison in content["search"]["comparisons"]]
    return StudyConfig(
        name=name,
        data=content["search"]["data"],
        overrides=[*untrusted(content["overrides"]), *overrides],
        comparisons=comparisons,
        runs=runs,
        **kept,
    )


def write_best(study: StudyConfig, cells: Sequence[Cell]) -> dict[str, dict[str, Any]]:
    """Write best.json: each search's best trial by the ledger; a search without a score is left out."""
    lines = ledger.read(study.folder / "ledger.jsonl")
    found = {}
    for cell in cells:
        chosen = ledger.best(ledger.complete(lines, cell.name))
        if chosen is not None:
            kept = {key: chosen[key] for key in ("trial", "params", "augmentation_off", "score")}
            found[cell.name] = {**kept, "on_edge": on_edge(cell.space, chosen["params"])}
    path = study.folder / "best.json"
    with FileLock(f"{path}.lock"):
        write_whole(path, (json.dumps(found, indent=1) + "\n").encode())
    return found


def relative_costs(study: StudyConfig, cells: Sequence[Cell]) -> dict[str, float]:
    """Each method's seconds an image, as a multiple of the baseline's, by the trials that had the augmentation on."""
    lines = ledger.read(study.folder / "ledger.jsonl")
    pace = {}
    for cell in cells:
        on = [line for line in ledger.complete(lines, cell.name) if cell.baseline or not line["augmentation_off"]]
        if on:
            pace[cell.name] = sum(line["seconds"] for line in on) / sum(line["images"] for line in on)
    pairs = {cell.name: f"{cell.loss}/none" for cell in cells if not cell.baseline}
    return {name: pace[name] / pace[baseline] for name, baseline in pairs.items() if name in pace and baseline in pace}
