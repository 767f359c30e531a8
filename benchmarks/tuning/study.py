"""The configuration of a study and of its final runs: keys, defaults and limits."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import yaml

from ..config.compose import RunOptions, check_option, config_file, parse, split_own
from ..config.lists import Comparison, check_listed, check_workers
from ..config.typed import typed
from ..errors import UserError, unknown
from ..runs.schema import LEDGER

SAMPLERS = ("quasi_random", "tpe")
PRUNERS = ("median",)
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


@dataclass
class OfData:
    """What a study's file sets for one data set alone, by its name."""

    data_overrides: dict[str, list[str]]


def read_study(name: str, overrides: Sequence[str]) -> StudyConfig:
    """The study of configs/study with its own keys overridden; every other override goes to each training.

    What the file sets for one data set alone (``data_overrides``) holds for that one only.

    Raises:
        UserError: if there is no such study, or a value has a wrong type.
    """
    check_option("study", name)
    values, rest = split_own(overrides, {field.name for field in fields(StudyConfig)} - {"name", "overrides"})
    written = yaml.safe_load(config_file("study", name).read_text())
    of_data = typed(OfData, {"data_overrides": written.pop("data_overrides", {})}, f"study {name}: ").data_overrides
    study = typed(StudyConfig, written | values | {"name": name}, f"study {name}: ")
    return replace(study, overrides=[*study.overrides, *of_data.get(study.data, []), *rest])


@dataclass
class FinalConfig:
    """Keys of the final runs in addition to those of their study."""

    runs: str  # folder that holds the study
    seeds: list[int] = field(default_factory=lambda: list(range(10)))
    folds: list[int] | None = None  # null: the study's
    out: str | None = None  # folder of the report; RUNS/report
    workers: int | None = None  # trainings at a time; null: one per core, or as many as the GPUs take
    executor: str = "local"  # or ray: the cluster that RAY_ADDRESS names, or else this machine

    def __post_init__(self) -> None:
        check_listed(seeds=self.seeds)
        if self.folds is not None:
            check_listed(folds=self.folds)


def read_final(name: str, overrides: Sequence[str]) -> tuple[FinalConfig, list[str]]:
    """The configuration of the final runs, and overrides of each run that do not change its numbers.

    Raises:
        UserError: a key would change what was tuned, or a value has a wrong type.
    """
    own, options = ([key.name for key in fields(kind)] for kind in (FinalConfig, RunOptions))
    for override in parse(overrides):
        if override.key_or_group not in (*own, *options):
            raise UserError(
                unknown("key of final runs", override.key_or_group, (*own, *options))
                + "; everything else is as in the study"
            )
    values, rest = split_own(overrides, own)
    values.setdefault("runs", read_study(name, []).runs)
    return typed(FinalConfig, values, f"final {name}: "), rest
