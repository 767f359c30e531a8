"""The configuration of a study: what is tuned, over which spaces, with which budget."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from benchmarks.config.compose import RunConfig, RunOptions, compose, config_file, options_of, split_own
from benchmarks.config.lists import Comparison, check_listed, check_workers
from benchmarks.config.typed import typed
from benchmarks.errors import UserError, unknown
from benchmarks.runs.schema import LEDGER
from benchmarks.training.build import check
from benchmarks.tuning.space import Space, declared_values, ends, read_space

SAMPLERS = ("quasi_random", "tpe")
PRUNERS = ("median",)
QUICK_TRUNK = "trunk=small_cnn"  # where only the loss and the method are looked at
MIN_TRIALS = 4  # declared values off and on, one sampled, and the best one with augmentation off
MAX_TRIALS = 10_000  # per search


@dataclass
class StudyConfig:
    """Searches with the same number of trials for every loss and each method around it."""

    name: str
    data: str
    overrides: list[str]  # of every training
    comparisons: list[Comparison]
    folds: list[int]
    seed: int  # of the search and of every trial's trainings; the final runs use others
    trials: int  # of each (loss, method)
    runs: str
    extra_trials: int | None = None  # of LOSS/none+ beyond those of LOSS/none; null: as many again
    sampler: str = "quasi_random"
    pruning: str | None = None
    storage: str | None = None  # URL of an Optuna storage that receives a copy of the trials
    workers: int | None = None  # trials at a time; null: one per core, or as many as the GPUs take
    executor: str = "local"  # or ray: the cluster that RAY_ADDRESS names, or else this machine

    def __post_init__(self) -> None:
        check_listed(comparisons=self.comparisons)
        check_workers(self.workers, self.executor)
        if not MIN_TRIALS <= self.trials <= MAX_TRIALS:
            raise UserError(f"trials must be {MIN_TRIALS} to {MAX_TRIALS}, but got {self.trials}")
        if not self.folds or len(set(self.folds)) < len(self.folds):
            raise UserError(f"folds must be one or more, each once, but got {self.folds}")
        if self.extra_trials is not None and not 0 <= self.extra_trials <= MAX_TRIALS:
            raise UserError(f"extra_trials must be null or 0 to {MAX_TRIALS}, but got {self.extra_trials}")
        if self.sampler not in SAMPLERS:
            raise UserError(f"sampler must be one of {', '.join(SAMPLERS)}, but got {self.sampler!r}")
        if self.pruning is not None and self.pruning not in PRUNERS:
            raise UserError(f"pruning must be null or one of {', '.join(PRUNERS)}, but got {self.pruning!r}")

    @property
    def folder(self) -> Path:
        return Path(self.runs) / "studies" / self.name

    @property
    def ledger(self) -> Path:
        return self.folder / LEDGER

    @property
    def plus_trials(self) -> int:
        """The trials of ``LOSS/none+``, which include those of the baseline."""
        return self.trials + (self.trials if self.extra_trials is None else self.extra_trials)


def read_study(name: str, overrides: Sequence[str]) -> StudyConfig:
    """The study of configs/study with its own keys overridden; every other override goes to each training.

    Raises:
        UserError: if there is no such study, or a value has a wrong type.
    """
    if name not in options_of("study"):
        raise UserError(unknown("study", name, options_of("study")))
    own = {field.name for field in fields(StudyConfig)} - {"name", "overrides"}
    values, rest = split_own(overrides, own)
    written = yaml.safe_load(config_file("study", name).read_text())
    study = as_study(name, {**written, **values})
    return replace(study, overrides=[*study.overrides, *rest])


def as_study(name: str, values: Mapping[str, Any]) -> StudyConfig:
    """The study with these values.

    Raises:
        UserError: a key is unknown or missing, or a value is out of range or of a wrong type.
    """
    return typed(StudyConfig, {**values, "name": name}, f"study {name}: ")


@dataclass(frozen=True)
class Cell:
    """One search: a loss with a method, or the baseline loss alone."""

    loss: str
    method: str  # none+: the baseline with more trials
    trials: int
    loss_space: Space
    method_space: Space
    declared: dict[str, Any]  # the parameters' values in the configs

    @property
    def name(self) -> str:
        return f"{self.loss}/{self.method}"

    @property
    def baseline(self) -> bool:
        return self.method in ("none", "none+")

    @property
    def space(self) -> Space:
        return {**self.loss_space, **self.method_space}


def list_cells(study: StudyConfig) -> list[Cell]:
    """The searches of a study: per loss the baseline, each method, and the baseline with more trials.

    Raises:
        UserError: for a missing or invalid space, an unknown name or key, a method that does not support its loss, or a
            range whose ends the loss or the method refuses.
    """
    cells = {}
    for comparison in study.comparisons:
        baseline = _checked(study, comparison.loss, "none")
        found = [
            baseline,
            *(_checked(study, comparison.loss, method) for method in comparison.methods if method != "none"),
        ]
        if len(found) > 1 and study.plus_trials > study.trials:
            found.append(replace(baseline, method="none+", trials=study.plus_trials))
        cells.update({cell.name: cell for cell in found})
    return list(cells.values())


def _checked(study: StudyConfig, loss: str, method: str) -> Cell:
    spaces = read_space("loss", loss), {} if method == "none" else read_space("method", method)
    cell = Cell(loss, method, study.trials, *spaces, declared={})
    config, _ = trial_config(study, cell, {})
    check(config)
    own = spaces[0] if method == "none" else spaces[1]  # the loss's own were checked with the baseline
    for end in (0, 1):
        at_end, _ = trial_config(study, cell, {key: ends(distribution)[end] for key, distribution in own.items()})
        try:
            check(replace(at_end, trunk=_composed((QUICK_TRUNK,))[0].trunk))
        except UserError as error:
            words = "lowest", "highest"
            raise UserError(f"the search space of {cell.name} at its {words[end]} values: {error}") from error
    return replace(cell, declared=declared_values(cell.space, config))


def trial_config(
    study: StudyConfig, cell: Cell, params: dict[str, Any], augmentation_off: bool = False
) -> tuple[RunConfig, RunOptions]:
    """The configuration of a trial's trainings, for the first fold; the test set is never scored."""
    method = "none" if cell.baseline or augmentation_off else cell.method
    names = [f"data={study.data}", f"loss={cell.loss}", f"method={method}"]
    settings = [f"{key}={json.dumps(value)}" for key, value in params.items()]
    unseen = ["protocol.test_scoring=never", "protocol.keep_embeddings=false"]
    config, options = _composed((*names, *study.overrides, *settings, *unseen))
    return (
        replace(config, fold=study.folds[0], seed=study.seed),
        replace(options, runs=str(study.folder / "trials")),
    )


@lru_cache(maxsize=512)  # composing takes tens of milliseconds
def _composed(overrides: tuple[str, ...]) -> tuple[RunConfig, RunOptions]:
    return compose(overrides)
