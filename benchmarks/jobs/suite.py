"""The trainings that a suite lists."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from benchmarks.config.compose import compose
from benchmarks.config.lists import SuiteConfig
from benchmarks.errors import UserError
from benchmarks.jobs.runner import TrainingJob
from benchmarks.training.build import check
from benchmarks.training.train import read_data


def list_tasks(suite: SuiteConfig, overrides: Sequence[str]) -> list[TrainingJob]:
    """Every training of a suite once, seed by seed, each loss beside its methods.

    Raises:
        UserError: for an unknown name or key, a method that does not go with its loss or is without its baseline, data
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
                kinds.append(TrainingJob(config, replace(options, runs=suite.runs)))
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
