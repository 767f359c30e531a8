"""Tuning studies, read and checked: cells, search spaces, budgets and trials."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .. import statistics
from ..errors import UserError
from ..runs.checked_json import Fields, parsed, read_regular
from ..runs.schema import BEST, LEDGER, RESULT, SCHEMA, STUDY

OUTCOMES = ("complete", "pruned", "failed")


@dataclass(frozen=True)
class Trial:
    """One trial of a search, from the ledger."""

    number: int
    params: dict[str, Any]  # by config key
    augmentation_off: bool
    outcome: str  # one of OUTCOMES
    score: float | None  # 0 to 1, of complete trials
    images: int
    seconds: float
    error: str | None
    runs: tuple[str, ...]  # names of its trainings


@dataclass(frozen=True)
class Best:
    """The best trial of a cell, as the final runs take it."""

    trial: int
    params: dict[str, Any]
    augmentation_off: bool
    score: float
    on_edge: tuple[str, ...]  # parameters at an end of their range


@dataclass(frozen=True)
class TunedCell:
    """The search of one loss with one method; ``none+`` is the baseline with more trials."""

    loss: str
    method: str
    space: dict[str, dict[str, Any]]  # config key -> its range or choices
    budget_trials: int
    budget_images: int
    trials: tuple[Trial, ...]  # in the order in which they ended
    best: Best | None

    @property
    def name(self) -> str:
        return f"{self.loss}/{self.method}"

    def count(self, outcome: str) -> int:
        return sum(trial.outcome == outcome for trial in self.trials)

    @property
    def images(self) -> int:
        return sum(trial.images for trial in self.trials)

    @property
    def seconds(self) -> float:
        return sum(trial.seconds for trial in self.trials)

    @cached_property
    def scores(self) -> list[float]:
        """One per trial in points, in the order of their numbers; pruned and failed ones as the worst complete one."""
        known = [100 * trial.score for trial in self.trials if trial.score is not None]
        worst = min(known, default=0.0)
        ordered = sorted(self.trials, key=lambda trial: trial.number)
        return [worst if trial.score is None else 100 * trial.score for trial in ordered]

    @cached_property
    def expected_best(self) -> list[float]:
        """For 1, 2, ... trials."""
        return statistics.expected_best(self.scores).tolist() if self.scores else []

    @cached_property
    def best_so_far(self) -> list[float]:
        """After each trial, in the order of their numbers."""
        return np.maximum.accumulate(self.scores).tolist() if self.scores else []


@dataclass(frozen=True)
class Study:
    """One search for several cells."""

    path: Path
    name: str
    data: str
    protocol: str
    objective: str
    folds: tuple[int, ...]
    seed: int
    sampler: str
    cells: tuple[TunedCell, ...]

    def losses(self) -> list[str]:
        return sorted({cell.loss for cell in self.cells})

    def of(self, loss: str) -> list[TunedCell]:
        return [cell for cell in self.cells if cell.loss == loss]


def read_studies(root: Path) -> dict[str, Study]:
    """Every study under ``root/studies``, by name.

    Raises:
        UserError: a study is damaged, or its trainings were scored on the test set.
    """
    found = {}
    for path in sorted((root / "studies").glob(f"*/{STUDY}")):
        study = read_study(path.parent)
        found[study.name] = study
    return found


def read_study(folder: Path) -> Study:
    """The study in ``folder``.

    Raises:
        UserError: as :func:`read_studies`.
    """
    fields = Fields.of(folder / STUDY)
    if (schema := fields.get("schema", int)) != SCHEMA:
        raise UserError(f"{folder} is a study of schema {schema}, but this version reads schema {SCHEMA}")
    trials = _ledger(folder / LEDGER)
    chosen = Fields.of(folder / BEST) if (folder / BEST).exists() else None
    study = Study(
        path=folder,
        name=fields.get("study", str),
        data=fields.get("data", str),
        protocol=fields.get("protocol", str),
        objective=fields.get("objective", str),
        folds=tuple(fields.list_of("folds", int)),
        seed=fields.count("seed"),
        sampler=fields.get("sampler", str),
        cells=tuple(_cell(name, fields, chosen, trials) for name in fields.get("cells", dict)),
    )
    _refuse_test_scores(study)
    return study


def _cell(name: str, study: Fields, chosen: Fields | None, trials: Mapping[str, list[Trial]]) -> TunedCell:
    loss, _, method = name.partition("/")
    cell = Fields(study.path, study.get("cells", dict)[name], f"cell {name}: ")
    best = chosen.content.get(name) if chosen else None
    return TunedCell(
        loss=loss,
        method=method,
        space=_space(cell),
        budget_trials=cell.count("budget_trials"),
        budget_images=cell.count("budget_images"),
        trials=tuple(trials.get(name, [])),
        best=_best(Fields(chosen.path, best, f"cell {name}: ")) if chosen and best is not None else None,
    )


def _space(cell: Fields) -> dict[str, dict[str, Any]]:
    """Config key -> its range or choices."""
    found = {}
    for key, described in cell.get("space", dict).items():
        fields = Fields(cell.path, described, f"{cell.where}space of {key}: ")
        if fields.has("choices"):
            fields.get("choices", list)
        else:
            fields.get("low", (int, float)), fields.get("high", (int, float))
        found[key] = dict(described)
    return found


def _ledger(path: Path) -> dict[str, list[Trial]]:
    """Trials by cell: of each the first complete line, else its last one. A torn line is left out."""
    lines = read_regular(path).decode("utf-8", errors="replace").splitlines() if path.exists() else []
    found: dict[str, dict[int, Trial]] = {}
    for number, text in enumerate(lines, start=1):
        try:
            json.loads(text)
        except ValueError:  # the writer was killed within the line; its successor wrote the trial again
            continue
        except RecursionError:
            pass  # parsed() refuses it
        entry = Fields(path, parsed(path, text.encode()), f"line {number}: ")
        outcome = entry.get("outcome", str)
        if outcome not in OUTCOMES:
            raise entry.impossible("outcome", outcome)
        trial = Trial(
            number=entry.count("trial"),
            params=entry.get("params", dict),
            augmentation_off=entry.get("augmentation_off", bool),
            outcome=outcome,
            score=entry.fraction("score") if outcome == "complete" else None,
            images=entry.count("images"),
            seconds=entry.number("seconds"),
            error=entry.get("error", (str, type(None))),
            runs=tuple(fold.get("run", str) for fold in entry.each("folds") if fold.has("run")),
        )
        of_cell = found.setdefault(entry.get("cell", str), {})
        if trial.number not in of_cell or of_cell[trial.number].outcome != "complete":
            of_cell[trial.number] = trial
    return {cell: list(trials.values()) for cell, trials in found.items()}


def _best(fields: Fields) -> Best:
    return Best(
        trial=fields.count("trial"),
        params=fields.get("params", dict),
        augmentation_off=fields.get("augmentation_off", bool) if fields.has("augmentation_off") else False,
        score=fields.fraction("score"),
        on_edge=tuple(fields.list_of("on_edge", str)),
    )


def _refuse_test_scores(study: Study) -> None:
    """Tuning must not see the test set: none of its trainings that are still there may have a test score."""
    for path in sorted((study.path / "trials").glob(f"*/{RESULT}")):
        result = Fields.of(path)
        if result.has("selection.validation.test") or any(entry.has("test") for entry in result.each("history")):
            raise UserError(
                f"{path.parent} belongs to study {study.name} and was scored on the test set: what was tuned with a "
                "view of the test set cannot be compared on it; tune again with protocol.test_scoring=never"
            )
