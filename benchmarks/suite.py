"""Many trainings from one list, and the report on them."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

from .build import check
from .config import CONFIGS, RunConfig, RunOptions, compose, options_of, parse
from .errors import Refusal
from .nearest import unknown
from .pool import run_all
from .records import RunFolder
from .run import read_data, train


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
    workers: int | None = None  # processes; one a core


class Task(NamedTuple):
    """One training of a suite."""

    config: RunConfig
    options: RunOptions

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.options.runs, self.config.identity())

    def __str__(self) -> str:
        config = self.config
        names = f"data={config.data['name']} loss={config.loss.name} method={config.method.name}"
        return f"{names} fold={config.fold} seed={config.seed}"


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
    given = parser.parse_args(argv)
    suite, overrides = read_suite(given.name, given.overrides)
    tasks = list_tasks(suite, overrides)
    failed = train_all(tasks, suite.workers or available_cores())
    if failed:
        print(f"{failed} of {len(tasks)} trainings failed, so there is no report; the same command tries them again")
        return 1
    from .report import write_report  # the figures' libraries are not worth loading before

    for path in write_report(Path(suite.runs), Path(suite.out or f"{suite.runs}/report")):
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
    parsed = parse(overrides)
    values = {override.key_or_group: override.value() for override in parsed if override.key_or_group in own}
    rest = [text for text, override in zip(overrides, parsed, strict=True) if override.key_or_group not in own]
    try:
        written = OmegaConf.load(CONFIGS / "suite" / f"{name}.yaml")
        suite = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(SuiteConfig), written, values))
    except OmegaConfBaseException as error:
        raise Refusal(f"suite {name}: {error.full_key}: {str(error).splitlines()[0]}") from error
    return cast(SuiteConfig, suite), rest


def list_tasks(suite: SuiteConfig, overrides: Sequence[str]) -> list[Task]:
    """Every training of a suite once, seed by seed, each loss beside its methods.

    Raises:
        Refusal: for an unknown name or key, a method that does not go with its loss, data that cannot be read.
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
    return list(tasks.values())


def train_all(tasks: Sequence[Task], workers: int) -> int:
    """Run the tasks that are not done, with one progress line; how many failed. Each failure is told with its log."""
    pending = [task for task in tasks if not task.folder.is_done()]
    quiet = bool(tasks) and tasks[0].options.quiet
    started, failed = time.perf_counter(), 0
    with tqdm(total=len(tasks), initial=len(tasks) - len(pending), desc="trainings", disable=quiet) as progress:
        for outcome in run_all(train_quietly, pending, workers):
            progress.update()
            if outcome.error is not None:
                failed += 1
                task = pending[outcome.task]
                with open(task.folder.log, "a") as log:
                    log.write(outcome.error)
                reason = outcome.error.strip().splitlines()[-1]
                progress.write(f"failed: {task}: {reason}\n  see {task.folder.log}", file=sys.stderr)
    print(f"{len(pending) - failed} trained, {len(tasks) - len(pending)} done before, {failed} failed, ", end="")
    print(f"in {time.perf_counter() - started:.0f} s on {workers} workers")
    return failed


def train_quietly(task: Task) -> None:
    """Run a task; what it would print goes to its log."""
    task.folder.path.mkdir(parents=True, exist_ok=True)
    with open(task.folder.log, "a") as log, redirect_stdout(log), redirect_stderr(log):
        train(task.config, replace(task.options, quiet=True))


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
