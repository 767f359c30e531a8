"""Studies, read and checked: what was tuned, over which spaces, with which budget, and how it went."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import statistics
from benchmarks.errors import UserError
from benchmarks.runs.checked_json import Fields
from benchmarks.runs.schema import SCHEMA

OUTCOMES = ("complete", "pruned", "failed")


@dataclass(frozen=True)
class Trial:
    """One line of the ledger."""

    number: int
    params: dict[str, Any]  # by config key
    augmentation_off: bool
    outcome: str  # one of OUTCOMES
    score: float | None  # 0 to 1, of complete trials
    images: int
    seconds: float
    error: str | None
    runs: tuple[str, ...]  # names of its trainings' folders


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
        """One a trial in points, in the order of their numbers; pruned and failed ones as the worst complete one."""
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
    for path in sorted((root / "studies").glob("*/study.json")):
        study = read_study(path.parent)
        found[study.name] = study
    return found


def read_study(folder: Path) -> Study:
    """The study in ``folder``.

    Raises:
        UserError: as :func:`read_studies`.
    """
    fields = Fields.of(folder / "study.json")
    if fields.get("schema", int) != SCHEMA:
        raise UserError(f"{folder} is a study of schema {fields.content['schema']}, but this report reads {SCHEMA}")
    trials = _ledger(folder)
    chosen = Fields.of(folder / "best.json").content if (folder / "best.json").exists() else {}
    cells = []
    for name, described in fields.get("cells", dict).items():
        cell = Fields(folder, f"study.json, cell {name},", described)
        loss, _, method = name.partition("/")
        best = Fields(folder, f"best.json, cell {name},", chosen[name]) if name in chosen else None
        cells.append(
            TunedCell(
                loss=loss,
                method=method,
                space=cell.get("space", dict),
                budget_trials=cell.get("budget_trials", int),
                budget_images=cell.get("budget_images", int),
                trials=tuple(trials.get(name, [])),
                best=None if best is None else _best(best),
            )
        )
    study = Study(
        path=folder,
        name=fields.get("study", str),
        data=fields.get("data", str),
        protocol=fields.get("protocol", str),
        objective=fields.get("objective", str),
        folds=tuple(fields.get("folds", list)),
        seed=fields.get("seed", int),
        sampler=fields.get("sampler", str),
        cells=tuple(cells),
    )
    _refuse_test_scores(study)
    return study


def _ledger(folder: Path) -> dict[str, list[Trial]]:
    """Trials by cell: of each the first complete line, else its last one. A torn line is left out."""
    path = folder / "ledger.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    found: dict[str, dict[int, Trial]] = {}
    for number, text in enumerate(lines, start=1):
        try:
            line = json.loads(text)
        except ValueError:
            continue
        entry = Fields(folder, f"ledger.jsonl, line {number},", line)
        outcome = entry.get("outcome", str)
        if outcome not in OUTCOMES:
            raise entry.impossible("outcome", outcome)
        trial = Trial(
            number=entry.get("trial", int),
            params=entry.get("params", dict),
            augmentation_off=bool(entry.get("augmentation_off", bool)),
            outcome=outcome,
            score=entry.share("score") if outcome == "complete" else None,
            images=entry.get("images", int),
            seconds=float(entry.get("seconds", (int, float))),
            error=entry.get("error", (str, type(None))),
            runs=tuple(fold["run"] for fold in entry.get("folds", list) if fold.get("run")),
        )
        of_cell = found.setdefault(entry.get("cell", str), {})
        if trial.number not in of_cell or of_cell[trial.number].outcome != "complete":
            of_cell[trial.number] = trial
    return {cell: list(trials.values()) for cell, trials in found.items()}


def _best(fields: Fields) -> Best:
    return Best(
        trial=fields.get("trial", int),
        params=fields.get("params", dict),
        augmentation_off=bool(fields.content.get("augmentation_off", False)),
        score=fields.share("score"),
        on_edge=tuple(fields.get("on_edge", list)),
    )


def _refuse_test_scores(study: Study) -> None:
    """Tuning must not see the test set: none of its trainings that still lie there may have a test score."""
    for result in sorted((study.path / "trials").glob("*/result.json")):
        fields = Fields.of(result)
        entries: list[Mapping[str, Any]] = fields.content.get("history") or []
        if fields.has("selection.validation.test") or any(entry.get("test") for entry in entries):
            raise UserError(
                f"{result.parent} belongs to study {study.name} and was scored on the test set: what was tuned with a "
                "view of the test set cannot be compared on it; tune again with protocol.test_scoring=never"
            )
