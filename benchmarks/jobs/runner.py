"""Train a list of jobs; a job that fails is reported in its run directory, and the others go on."""

import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from ..config.compose import RunConfig, RunOptions
from ..data.split import Split
from ..errors import RunLockedError
from ..training.train import check_same_images, read_data, train
from .executors import Resources, run_all
from .job import Amount, Job, scored_images

AnyJob = TypeVar("AnyJob", bound=Job)


@dataclass(frozen=True)
class TrainingJob(Job):
    """One training of a model for retrieval."""

    config: RunConfig
    options: RunOptions

    def identity(self) -> dict[str, Any]:
        return self.config.identity()

    def train(self, options: RunOptions, wait: bool) -> Path:
        return train(self.config, options, wait)

    def check_images(self) -> None:
        check_same_images(self.folder, read_data(self.config)[0])

    def amount(self) -> Amount:
        return amount_of(self.config, read_data(self.config)[1])

    def __str__(self) -> str:
        config = self.config
        names = f"data={config.data.name} loss={config.loss.name} method={config.method.name}"
        return f"{names} fold={config.fold} seed={config.seed}"


def amount_of(config: RunConfig, split: Split) -> Amount:
    """What a whole training does."""
    protocol = config.protocol
    epochs = 0 if config.loss.is_raw else protocol.epochs
    steps = epochs * protocol.iterations(len(split.train))
    evaluations = 1 + -(-epochs // protocol.evaluate_every)
    test = len(split.test) + (0 if split.gallery is None else len(split.gallery))
    return Amount(
        steps, steps * protocol.batch_size, scored_images(len(split.val), test, evaluations, protocol.test_scoring)
    )


def train_all(
    jobs: Sequence[AnyJob],
    workers: int | None = None,
    executor: str = "local",
    when_done: Callable[[AnyJob], object] | None = None,
    until: float | None = None,
) -> int:
    """Train the jobs that are not done, with one progress bar, and return how many failed.

    Each failure is printed with the path of its log. Jobs that another command is training come last, and are waited
    for.

    Args:
        jobs: all with the same options.
        workers: maximum number of trainings at a time; None for as many as the executor has room for.
        executor: see :func:`benchmarks.jobs.executors.run_all`.
        when_done: called with each job that this call has trained, in this process; new jobs wait for it.
        until: as for :func:`benchmarks.jobs.executors.run_all`; the jobs that it ends are not counted as failed.
    """
    pending = [job for job in jobs if not job.is_done()]
    if not pending:
        print(f"0 trained, {len(jobs)} done before, 0 failed")
        return 0
    options = pending[0].options
    resources = Resources(options.device, options.threads, options.per_gpu)
    started, failed, trained = time.perf_counter(), 0, 0

    with tqdm(total=len(jobs), initial=len(jobs) - len(pending), desc="trainings", disable=options.quiet) as progress:

        def run(function: Callable[[Job], object], left: Sequence[AnyJob]) -> list[AnyJob]:
            """Run the jobs and return those that another command has locked."""
            nonlocal failed, trained
            locked = []
            for outcome in run_all(executor, function, left, workers, resources, until):
                job = left[outcome.job]
                if outcome.error is not None:
                    failed += 1
                    progress.write(f"failed: {job}: {_report_failure(job, outcome.error)}", file=sys.stderr)
                elif not job.is_done():
                    locked.append(job)
                    continue
                else:
                    trained += 1
                    if when_done is not None:
                        when_done(job)
                progress.update()
            return locked

        run(train_quietly, run(train_unless_locked, pending))
    print(f"{trained} trained, {len(jobs) - len(pending)} done before, {failed} failed, ", end="")
    print(f"in {time.perf_counter() - started:.0f} s")
    return failed


def refuse_other_images(jobs: Sequence[Job]) -> None:
    """Check that all finished jobs were trained on the images that their data sets have now.

    Raises:
        UserError: a job was trained on others.
    """
    for job in jobs:
        if job.is_done():
            job.check_images()


def train_quietly(job: Job, wait: bool = True) -> None:
    """Train a job; its output goes to the log in the run directory.

    Args:
        job: what to train.
        wait: whether to wait for another process that trains it.
    """
    job.folder.path.mkdir(parents=True, exist_ok=True)
    with open(job.folder.log, "a", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        job.train(replace(job.options, quiet=True), wait)


def train_unless_locked(job: Job) -> None:
    """Train a job, unless another process is training it."""
    try:
        train_quietly(job, wait=False)
    except RunLockedError:
        return


def _report_failure(job: Job, error: str) -> str:
    """Write a failure into the run directory, even if the process died, and return the reason in one line."""
    reason = re.sub(r"^\w+\.errors\.\w+: ", "", error.strip().splitlines()[-1])
    try:
        with open(job.folder.log, "a", encoding="utf-8") as log:
            log.write(error)
        if not job.folder.failed.exists():
            job.folder.fail(reason, error)
    except OSError as problem:  # a full disk, which may be what ended the job
        return f"{reason}\n  (and {job.folder.log} cannot be written: {problem})"
    return f"{reason}\n  see {job.folder.log}"
