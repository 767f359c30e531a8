"""Suites of classifiers as users write them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import yaml

from ..errors import UserError
from .classification import CLASSIFY, ClassificationConfig, compose_classification
from .compose import check_option, config_file, split_own
from .lists import check_listed, check_workers
from .schema import RunOptions
from .typed import typed

GROUP = "classification/suite"
SOFTMAX = "softmax"


@dataclass
class ClassificationSuite:
    """Every data set x mix x loss x seed."""

    overrides: list[str]  # of every training
    data: list[str]
    mixes: list[str]
    losses: list[str]  # softmax, and those that are compared with it
    seeds: list[int]
    runs: str  # directory of the run directories
    out: str | None = None  # directory of the report; null: RUNS/report
    workers: int | None = None  # trainings at a time; null: one per core, or as many as the GPUs take
    executor: str = "local"  # or ray: the cluster that RAY_ADDRESS names, or else this machine

    def __post_init__(self) -> None:
        check_listed(data=self.data, mixes=self.mixes, losses=self.losses, seeds=self.seeds)
        check_workers(self.workers, self.executor)
        if SOFTMAX not in self.losses:
            raise UserError(f"losses must have {SOFTMAX}, with which the others are compared, but are {self.losses}")


def read_classification_suite(name: str, overrides: Sequence[str]) -> tuple[ClassificationSuite, list[str]]:
    """The suite of that name with its own keys overridden, and the overrides that are left for each run.

    Raises:
        UserError: if there is no such suite, or a value has a wrong type.
    """
    check_option(GROUP, name)
    values, rest = split_own(overrides, {field.name for field in fields(ClassificationSuite)}, CLASSIFY)
    written = yaml.safe_load(config_file(GROUP, name).read_text())
    return typed(ClassificationSuite, written | values, f"suite {name}: "), rest


def list_classification_kinds(
    suite: ClassificationSuite, overrides: Sequence[str]
) -> list[tuple[ClassificationConfig, RunOptions]]:
    """Its configurations, one per data set, mix and loss, at the first seed.

    Raises:
        UserError: for an unknown name or key, or a value of a wrong type.
    """
    kinds = []
    for data in suite.data:
        for mix in suite.mixes:
            for loss in suite.losses:
                names = [f"data={data}", f"mix={mix}", f"loss={loss}"]
                words = [*names, *suite.overrides, *overrides, f"seed={suite.seeds[0]}"]
                config, options = compose_classification(words)
                kinds.append((config, replace(options, runs=suite.runs)))
    return kinds
