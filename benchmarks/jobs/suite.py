"""The trainings that a suite lists."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from benchmarks.config.compose import RunConfig, RunOptions, compose
from benchmarks.config.lists import SuiteConfig
from benchmarks.errors import UserError
from benchmarks.jobs.runner import TrainingJob
from benchmarks.training.build import check
from benchmarks.training.train import read_data


def list_tasks(suite: SuiteConfig, composed: Mapping[str, Sequence[tuple[RunConfig, RunOptions]]]) -> list[TrainingJob]:
    """Every training of a suite once, seed by seed, each loss beside its methods.

    Args:
        suite: the suite.
        composed: its configurations, see :func:`benchmarks.config.lists.list_kinds`.

    Raises:
        UserError: for a method that cannot be combined with its loss or has no baseline, or data that cannot be read.
    """
    tasks = {}
    for configurations in composed.values():
        kinds = [TrainingJob(config, options) for config, options in configurations]
        for kind in kinds:
            check(kind.config)
        for fold in suite.folds:
            for kind in kinds:
                read_data(replace(kind.config, fold=fold))
        for seed in suite.seeds:
            for fold in suite.folds:
                for kind in kinds:
                    task = kind._replace(config=replace(kind.config, fold=fold, seed=seed))
                    tasks[task.folder.name] = task
    _refuse_without_baseline_loss(tasks)
    return list(tasks.values())


def _refuse_without_baseline_loss(tasks: Mapping[str, TrainingJob]) -> None:
    """Each method's baseline is among the tasks, or was trained before."""
    none = compose(["method=none"])[0].method
    for task in tasks.values():
        baseline = task._replace(config=replace(task.config, method=none))
        if task.config.method.name != "none" and baseline.folder.name not in tasks and not baseline.is_done():
            raise UserError(
                f"{task} has no baseline to be compared with: add none to the methods of {task.config.loss.name}"
            )
