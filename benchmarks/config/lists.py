"""Lists of trainings as users write them: suites, and what they share with studies and final runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Protocol

import yaml

from ..errors import UserError, unknown
from .compose import check_option, compose, config_file, split_own
from .schema import RunConfig, RunOptions
from .typed import typed

EXECUTORS = ("local", "ray")
MAX_WORKERS = 10_000


@dataclass
class Comparison:
    """A loss, as the baseline (``none``) and with methods."""

    loss: str
    methods: list[str]

    def __post_init__(self) -> None:
        if not self.methods:
            raise UserError(f"comparisons: {self.loss} has no methods: name none and one or more others")


@dataclass
class SuiteConfig:
    """Every data set x (loss, method) x fold x seed."""

    overrides: list[str]  # of every training
    data: list[str]
    comparisons: list[Comparison]
    folds: list[int]
    seeds: list[int]
    runs: str  # directory of the run directories
    data_overrides: dict[str, list[str]] = field(default_factory=dict)  # of every training on one data set, by its name
    out: str | None = None  # directory of the report; null: RUNS/report
    workers: int | None = None  # trainings at a time; null: one per core, or as many as the GPUs take
    executor: str = "local"  # or ray: the cluster that RAY_ADDRESS names, or else this machine

    def __post_init__(self) -> None:
        check_listed(data=self.data, comparisons=self.comparisons, folds=self.folds, seeds=self.seeds)
        check_workers(self.workers, self.executor)


def check_listed(**lists: Sequence[object]) -> None:
    """Raises UserError for an empty list, by the name of its key."""
    for key, values in lists.items():
        if not values:
            raise UserError(f"{key} must be one or more, but got {values}")


def check_workers(workers: int | None, executor: str) -> None:
    """Raises UserError for an unknown executor or an impossible number of workers."""
    if executor not in EXECUTORS:
        raise UserError(unknown("executor", executor, EXECUTORS))
    if workers is not None and not 1 <= workers <= MAX_WORKERS:
        raise UserError(f"workers must be at least 1 and at most {MAX_WORKERS}, but got {workers}")


class Place(Protocol):
    """Where trainings and their report are written, and what computes them."""

    runs: str
    out: str | None
    workers: int | None
    executor: str


def read_suite(name: str, overrides: Sequence[str]) -> tuple[SuiteConfig, list[str]]:
    """The suite of that name with its own keys overridden, and the overrides that are left for each run.

    Raises:
        UserError: if there is no such suite, or a value has a wrong type.
    """
    check_option("suite", name)
    values, rest = split_own(overrides, {field.name for field in fields(SuiteConfig)})
    written = yaml.safe_load(config_file("suite", name).read_text())
    return typed(SuiteConfig, written | values, f"suite {name}: "), rest


def list_kinds(suite: SuiteConfig, overrides: Sequence[str]) -> dict[str, list[tuple[RunConfig, RunOptions]]]:
    """Each data set's configurations, one per loss and method, at the first fold and seed that trainings have.

    Raises:
        UserError: for an unknown name or key, or a value of a wrong type.
    """
    kinds: dict[str, list[tuple[RunConfig, RunOptions]]] = {}
    for data in suite.data:
        for comparison in suite.comparisons:
            for method in comparison.methods:
                names = [f"data={data}", f"loss={comparison.loss}", f"method={method}"]
                fixed = [f"fold={suite.folds[0]}", f"seed={suite.seeds[0]}"]
                own = suite.data_overrides.get(data, [])
                config, options = compose([*names, "keep=nothing", *suite.overrides, *own, *overrides, *fixed])
                kinds.setdefault(data, []).append((config, replace(options, runs=suite.runs)))
    return kinds
