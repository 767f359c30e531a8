"""The files study.json (spaces and budgets, before the first trial) and best.json (each search's best trial)."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..config.compose import untrusted
from ..config.typed import typed
from ..errors import UserError
from ..runs.checked_json import Fields, damaged, parsed
from ..runs.schema import BEST, PRIMARY, SCHEMA, STUDY
from ..runs.writer import run_name, write_whole
from ..training.train import read_data
from . import ledger
from .cells import Cell, read_trials, trial_config
from .ledger import Line
from .space import describe, on_edge
from .study import StudyConfig

OBJECTIVE = f"mean over folds of best validation {PRIMARY}"


def images_of(study: StudyConfig, cell: Cell) -> list[int]:
    """The most images that one training of each fold draws; patience may end it earlier.

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
        "data": config.data.name,
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
        UserError: as :func:`check_same_study`.
    """
    study.folder.mkdir(parents=True, exist_ok=True)
    path = study.folder / STUDY
    with FileLock(f"{path}.lock"):
        check_same_study(study, cells)
        write_whole(path, (json.dumps(describe_study(study, cells), indent=1) + "\n").encode())


def check_same_study(study: StudyConfig, cells: Sequence[Cell]) -> None:
    """Check that a study begun in the same folder has the same data, trainings, spaces and budgets.

    Raises:
        UserError: it has not, and the differences are named; or study.json is damaged.
    """
    path = study.folder / STUDY
    if not path.exists():
        return
    begun, asked = parsed(path), describe_study(study, cells)
    changed = [key for key in asked if key != "overrides" and asked[key] != begun.get(key)]
    if changed:
        raise UserError(
            f"{study.folder} holds a study with other {', '.join(changed)}: trials of two searches cannot be compared; "
            "set runs=ANOTHER_FOLDER, or repeat the command that began the study"
        )


def load_study(name: str, runs: str, overrides: Sequence[str]) -> StudyConfig:
    """The study of that name that was begun under ``runs``.

    Args:
        overrides: of each training, in addition to those of the study.

    Raises:
        UserError: there is none, or its study.json is damaged.
    """
    path = Path(runs) / "studies" / name / STUDY
    if not path.exists():
        raise UserError(f"{path} does not exist: tune first, pml-aug tune {name} runs={runs}")
    written = Fields.of(path)
    if (schema := written.get("schema", int)) != SCHEMA:
        raise UserError(f"{path} has schema {schema}, but this version reads schema {SCHEMA}")
    keys = ("folds", "seed", "trials", "extra_trials", "sampler", "pruning", "overrides")
    values = {key: written.content[key] for key in keys if key in written.content}
    try:
        study = typed(StudyConfig, {**values, **written.get("search", dict), "name": name, "runs": runs})
        return replace(study, overrides=[*untrusted(study.overrides), *overrides])
    except UserError as error:
        raise damaged(path, str(error)) from error


def best_trials(cells: Sequence[Cell], lines: Sequence[Line]) -> dict[str, Line]:
    """The best line of each search that has one."""
    found = {cell.name: ledger.best(ledger.complete(lines, cell.name)) for cell in cells}
    return {name: line for name, line in found.items() if line is not None}


def why_no_score(cell: Cell, lines: Sequence[Line]) -> str:
    """Why a search that has ended has no best trial."""
    reasons = Counter(
        ledger.no_evidence(line) if line["outcome"] == "complete" else line["error"] or line["outcome"]
        for line in lines
        if line["cell"] == cell.name
    )
    (reason, count), *_ = reasons.most_common(1)
    return f"no trial has a score that counts; in {count} of {reasons.total()} {reason}"


def write_best(study: StudyConfig, cells: Sequence[Cell], lines: Sequence[Line]) -> dict[str, dict[str, Any]]:
    """Write best.json and return its content; a search without a score is left out."""
    spaces = {cell.name: cell.space for cell in cells}
    content = {}
    for name, line in best_trials(cells, lines).items():
        kept = {key: line[key] for key in ("trial", "params", "augmentation_off", "score")}
        content[name] = {**kept, "on_edge": on_edge(spaces[name], line["params"])}
    write_whole(study.folder / BEST, (json.dumps(content, indent=1) + "\n").encode())
    return content


def relative_costs(cells: Sequence[Cell], lines: Sequence[Line]) -> dict[str, float]:
    """Seconds per image of each method divided by those of the baseline, over the trials with the augmentation on."""
    pace = {}
    for cell in cells:
        on = [line for line in ledger.complete(lines, cell.name) if cell.baseline or not line["augmentation_off"]]
        if on:
            pace[cell.name] = sum(line["seconds"] for line in on) / sum(line["images"] for line in on)
    pairs = {cell.name: f"{cell.loss}/none" for cell in cells if not cell.baseline}
    return {name: pace[name] / pace[baseline] for name, baseline in pairs.items() if name in pace and baseline in pace}


def print_summary(study: StudyConfig, cells: Sequence[Cell]) -> int:
    """Print the best trial of each search; 1 if one has no score."""
    lines = read_trials(study, cells)
    found, costs = write_best(study, cells, lines), relative_costs(cells, lines)
    for cell in cells:
        failed = sum(line["outcome"] == "failed" for line in lines if line["cell"] == cell.name)
        if cell.name not in found:
            print(f"{cell.name}: {why_no_score(cell, lines)}")
            continue
        best = found[cell.name]
        words = [f"{cell.name}: validation MAP@R {best['score']:.4f} in trial {best['trial']} of {cell.trials}"]
        words += ["augmentation off"] if best["augmentation_off"] else []
        words += [f"{failed} failed"] if failed else []
        words += [f"on the edge of its range: {' '.join(best['on_edge'])}"] if best["on_edge"] else []
        words += [f"{costs[cell.name]:.2f} times the baseline's seconds per image"] if cell.name in costs else []
        print(", ".join(words))
    slowest = max(costs, key=lambda name: costs[name], default=None)
    if slowest is not None and 1 < study.plus_trials / study.trials < costs[slowest]:
        print(
            f"{slowest} takes {costs[slowest]:.2f} times the baseline's time, but none+ gets only "
            f"{study.plus_trials / study.trials:.2f} times its trials: raise extra_trials"
        )
    print(study.folder)
    return int(len(found) < len(cells))
