"""Many trainings from one list, and the report on them."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Protocol, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .build import check
from .config import CONFIGS, compose, options_of, split_own
from .errors import Refusal
from .estimate import estimate
from .execution import ENGINES
from .nearest import unknown
from .records import abandoned
from .run import read_data
from .schema import check_folder
from .trainings import Task, refuse_other_images, train_all


@dataclass
class Comparison:
    """A loss, bare (``none``) and with methods."""

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
            raise Refusal(f"{key} must be one or more, but got {values}")


def check_workers(workers: int | None, engine: str) -> None:
    """Refuse what no tasks can be run with."""
    if engine not in ENGINES:
        raise Refusal(unknown("engine", engine, ENGINES))
    if workers is not None and workers < 1:
        raise Refusal(f"workers must be at least 1, but got {workers}")


class Place(Protocol):
    """Where trainings and their report are written, and what computes them."""

    runs: str
    out: str | None
    workers: int | None
    engine: str


def main(argv: Sequence[str]) -> int:
    """``python -m benchmarks suite``; 1 if any training failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks suite",
        description="Train everything a suite lists, finished trainings left out, and write the report.",
        epilog=f"suites (files under configs/suite/): {', '.join(options_of('suite'))}\n"
        f"keys of a suite: {', '.join(field.name for field in fields(SuiteConfig))}; every other key goes to each run\n"
        "example: python -m benchmarks suite quickstart seeds=[0,1] workers=2 runs=runs/short protocol.epochs=4",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="SUITE")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--dry-run", action="store_true", help="say what it would take, and stop")
    given = parser.parse_intermixed_args(argv)
    suite, overrides = read_suite(given.name, given.overrides)
    return carry_out(list_tasks(suite, overrides), suite, given.dry_run)


def carry_out(
    tasks: Sequence[Task],
    place: Place,
    dry_run: bool,
    before_report: Callable[[Sequence[Task]], object] | None = None,
) -> int:
    """Say what the tasks take, train them, and write the report on their folder; 1 if any training failed.

    Args:
        tasks: all in ``place.runs``.
        place: where and with how many workers.
        dry_run: only say it.
        before_report: called with the tasks when all of them are done.

    Raises:
        Refusal: if the report could not be written, whatever became of the tasks.
    """
    out = place.out or f"{place.runs}/report"
    check_folder("out", out)
    if others := abandoned(Path(place.runs), {task.folder.name for task in tasks}):
        raise Refusal(
            f"{', '.join(map(str, others))}: unfinished and not in this list, so there could be no report; end it by "
            "the command that began it, move it away, or say runs=ANOTHER_FOLDER"
        )
    refuse_other_images(tasks)
    taken = estimate(tasks, place.workers, place.engine)
    print(taken)
    if dry_run:
        return 0
    taken.refuse_if_the_disk_would_fill(place.runs)
    failed = train_all(tasks, place.workers, place.engine)
    if failed:
        print(f"{failed} of {len(tasks)} trainings failed, so there is no report; the same command tries them again")
        return 1
    if before_report is not None:
        before_report(tasks)
    from .report import write_report  # the figures' libraries are not worth loading before

    for path in write_report(Path(place.runs), Path(out)):
        print(path)
    return 0


def read_suite(name: str, overrides: Sequence[str]) -> tuple[SuiteConfig, list[str]]:
    """The suite of that name with its own keys overridden, and the overrides that are left for each run.

    Raises:
        Refusal: if there is no such suite, or a value has a wrong type.
    """
    if name not in options_of("suite"):
        raise Refusal(unknown("suite", name, options_of("suite")))
    own = {field.name for field in fields(SuiteConfig)}
    values, rest = split_own(overrides, own)
    try:
        written = OmegaConf.load(CONFIGS / "suite" / f"{name}.yaml")
        suite = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(SuiteConfig), written, values))
    except OmegaConfBaseException as error:
        raise Refusal(f"suite {name}: {error.full_key}: {str(error).splitlines()[0]}") from error
    return cast(SuiteConfig, suite), rest


def list_tasks(suite: SuiteConfig, overrides: Sequence[str]) -> list[Task]:
    """Every training of a suite once, seed by seed, each loss beside its methods.

    Raises:
        Refusal: for an unknown name or key, a method that does not go with its loss or is without its bare loss, data
            that cannot be read.
    """
    tasks = {}
    for data in suite.data:
        kinds = []
        for comparison in suite.comparisons:
            for method in comparison.methods:
                names = [f"data={data}", f"loss={comparison.loss}", f"method={method}"]
                config, options = compose([*names, *suite.overrides, *overrides])
                check(config)
                kinds.append(Task(config, replace(options, runs=suite.runs)))
        for fold in suite.folds:
            for kind in kinds:
                read_data(replace(kind.config, fold=fold))
        for seed in suite.seeds:
            for fold in suite.folds:
                for kind in kinds:
                    task = kind._replace(config=replace(kind.config, fold=fold, seed=seed))
                    tasks[task.folder.name] = task
    _refuse_without_bare_loss(tasks)
    return list(tasks.values())


def _refuse_without_bare_loss(tasks: Mapping[str, Task]) -> None:
    """Each method's bare loss is among the tasks, or was trained before."""
    none = compose(["method=none"])[0].method
    for task in tasks.values():
        bare = task._replace(config=replace(task.config, method=none))
        if task.config.method.name != "none" and bare.folder.name not in tasks and not bare.is_done():
            raise Refusal(
                f"{task} has no bare loss to be compared with: add none to the methods of {task.config.loss.name}"
            )
