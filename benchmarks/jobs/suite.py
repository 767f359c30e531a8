"""The jobs of a suite."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..config.compose import RunConfig, RunOptions, compose
from ..config.lists import SuiteConfig
from ..errors import UserError
from ..runs.schema import BASELINE
from ..training.check import check
from ..training.train import read_data
from .raw import raw_jobs
from .runner import TrainingJob


def list_tasks(suite: SuiteConfig, composed: Mapping[str, Sequence[tuple[RunConfig, RunOptions]]]) -> list[TrainingJob]:
    """Every training of a suite once: raw features, the first comparison, the others seed by seed.

    Args:
        suite: the suite.
        composed: its configurations, see :func:`benchmarks.config.lists.list_kinds`.

    Raises:
        UserError: a method that cannot be combined with its loss or has no baseline, or data that cannot be read.
    """
    jobs: dict[str, TrainingJob] = {}
    for configurations in composed.values():
        kinds = [TrainingJob(config, options) for config, options in configurations]
        if kinds[0].config.data.train_on == "all":
            raise UserError(
                "data.train_on=all leaves no test set, so that a suite has nothing to compare: use it with "
                "pml-aug run, for the model that goes into use"
            )
        for kind in kinds:
            check(kind.config)
        for fold in suite.folds:
            for kind in kinds:
                read_data(replace(kind.config, fold=fold))
        jobs |= {job.folder.name: job for job in raw_jobs(kinds[0], suite.folds)}
        for seed in suite.seeds:
            for fold in suite.folds:
                for kind in kinds:
                    job = replace(kind, config=replace(kind.config, fold=fold, seed=seed))
                    jobs[job.folder.name] = job
    _refuse_without_baseline(jobs)
    first = {job.folder.name: job for job in first_comparison(list(jobs.values()))}
    return list((first | jobs).values())


def first_comparison(jobs: Sequence[TrainingJob]) -> list[TrainingJob]:
    """What a first report needs: on the first data set, the raw features, and the first loss with one method.

    Empty where there is no loss with a baseline and a method.
    """
    trained = next((job.config for job in jobs if not job.config.loss.is_raw), None)
    if trained is None:
        return []
    on_data = [job for job in jobs if job.config.data.name == trained.data.name]  # raw ones may standardise otherwise
    methods = list(dict.fromkeys(job.config.method.name for job in on_data if job.config.loss == trained.loss))
    pair = [BASELINE, *[name for name in methods if name != BASELINE][:1]]
    if BASELINE not in methods or len(pair) < 2:
        return []

    def is_first(config: RunConfig) -> bool:
        return config.loss.is_raw or (config.loss == trained.loss and config.method.name in pair)

    return [job for job in on_data if is_first(job.config)]


def report_rounds(jobs: Sequence[TrainingJob]) -> list[list[TrainingJob]]:
    """Growing parts of a suite that make a report: the first comparison, then all arms with two seeds, three, ...

    The data sets come one after the other. The last of them ends before its last seed, as all jobs then make a report.
    """
    first = first_comparison(jobs)
    if not first:
        return []
    found, before = [first], list[TrainingJob]()
    for name in dict.fromkeys(job.config.data.name for job in jobs):
        own = [job for job in jobs if job.config.data.name == name]
        seeds = list(dict.fromkeys(job.config.seed for job in own if not job.config.loss.is_raw))
        for count in range(2, len(seeds) + 1):
            within = seeds[:count]
            found.append(before + [job for job in own if job.config.loss.is_raw or job.config.seed in within])
        before = before + own
    return [part for part in found if len(part) < len(jobs)]


def _refuse_without_baseline(jobs: Mapping[str, TrainingJob]) -> None:
    """Check that the baseline of each method is among the jobs, or was trained before."""
    none = compose(["method=none"])[0].method
    for job in jobs.values():
        baseline = replace(job, config=replace(job.config, method=none))
        if job.config.method.name != "none" and baseline.folder.name not in jobs and not baseline.is_done():
            raise UserError(
                f"{job} has no baseline to be compared with: add none to the methods of {job.config.loss.name}"
            )
