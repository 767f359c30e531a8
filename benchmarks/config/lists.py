"""Lists of trainings as users write them: suites and final runs."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from benchmarks.config.compose import CONFIGS, options_of, split_own
from benchmarks.errors import UserError, unknown

ENGINES = ("local", "ray")


@dataclass
class Comparison:
    """A loss, baseline (``none``) and with methods."""

    loss: str
    methods: list[str]


@dataclass
class SuiteConfig:
    """Every data set x (loss, method) x fold x seed."""

    overrides: list[str]  # of every training
    data: list[str]
    comparisons: list[Comparison]
    folds: list[int]
    seeds: list[int]
    runs: str  # folder of the run folders
    out: str | None = None  # folder of the report; RUNS/report
    workers: int | None = None  # trainings at a time; null: one a core, or as many as the GPUs take
    engine: str = "local"  # or ray: the cluster that RAY_ADDRESS names, or else this machine

    def __post_init__(self) -> None:
        check_listed(data=self.data, comparisons=self.comparisons, folds=self.folds, seeds=self.seeds)
        check_workers(self.workers, self.engine)


def check_listed(**lists: Sequence[object]) -> None:
    """Refuse lists, by the names of their keys, of which nothing would come."""
    for key, values in lists.items():
        if not values:
            raise UserError(f"{key} must be one or more, but got {values}")


def check_workers(workers: int | None, engine: str) -> None:
    """Refuse what no tasks can be run with."""
    if engine not in ENGINES:
        raise UserError(unknown("engine", engine, ENGINES))
    if workers is not None and workers < 1:
        raise UserError(f"workers must be at least 1, but got {workers}")


class Place(Protocol):
    """Where trainings and their report are written, and what computes them."""

    runs: str
    out: str | None
    workers: int | None
    engine: str


def read_suite(name: str, overrides: Sequence[str]) -> tuple[SuiteConfig, list[str]]:
    """The suite of that name with its own keys overridden, and the overrides that are left for each run.

    Raises:
        UserError: if there is no such suite, or a value has a wrong type.
    """
    if name not in options_of("suite"):
        raise UserError(unknown("suite", name, options_of("suite")))
    own = {field.name for field in fields(SuiteConfig)}
    values, rest = split_own(overrides, own)
    try:
        written = OmegaConf.load(CONFIGS / "suite" / f"{name}.yaml")
        suite = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(SuiteConfig), written, values))
    except OmegaConfBaseException as error:
        raise UserError(f"suite {name}: {error.full_key}: {str(error).splitlines()[0]}") from error
    return cast(SuiteConfig, suite), rest
