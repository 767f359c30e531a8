"""Many trainings over workers; what goes wrong with one is noted in its folder, and the others go on."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from typing import NamedTuple

from tqdm import tqdm

from benchmarks.config.compose import RunConfig, RunOptions
from benchmarks.errors import UserError
from benchmarks.jobs.executors import Resources, run_all
from benchmarks.runs.writer import RunDir, RunLockedError
from benchmarks.training.train import read_data, train


class TrainingJob(NamedTuple):
    """One training of many."""

    config: RunConfig
    options: RunOptions

    @property
    def folder(self) -> RunDir:
        return RunDir(self.options.runs, self.config.identity())

    def is_done(self) -> bool:
        """Whether it has ended well; a damaged result is no such end."""
        try:
            return self.folder.is_done()
        except UserError:
            return False

    def __str__(self) -> str:
        config = self.config
        names = f"data={config.data.name} loss={config.loss.name} method={config.method.name}"
        return f"{names} fold={config.fold} seed={config.seed}"


def train_all(tasks: Sequence[TrainingJob], workers: int | None = None, engine: str = "local") -> int:
    """Run the tasks that are not done, with one progress line; how many failed. Each failure is told with its log.

    Trainings that another command is at come last, and are waited for.

    Args:
        workers: tasks at a time, at most; None: what the engine finds room for.
        engine: see :func:`benchmarks.jobs.executors.run_all`.
    """
    pending = [task for task in tasks if not task.is_done()]
    if not pending:
        print(f"0 trained, {len(tasks)} done before, 0 failed")
        return 0
    options = pending[0].options
    resources = Resources(options.device, options.threads, options.per_gpu)
    started, failed = time.perf_counter(), 0

    with tqdm(total=len(tasks), initial=len(tasks) - len(pending), desc="trainings", disable=options.quiet) as progress:

        def run(function: Callable[[TrainingJob], object], left: Sequence[TrainingJob]) -> list[TrainingJob]:
            """Those that others are at."""
            nonlocal failed
            held = []
            for outcome in run_all(engine, function, left, workers, resources):
                task = left[outcome.task]
                if outcome.error is not None:
                    failed += 1
                    progress.write(f"failed: {task}: {_note(task, outcome.error)}", file=sys.stderr)
                elif not task.is_done():
                    held.append(task)
                    continue
                progress.update()
            return held

        run(train_quietly, run(train_unless_held, pending))
    print(f"{len(pending) - failed} trained, {len(tasks) - len(pending)} done before, {failed} failed, ", end="")
    print(f"in {time.perf_counter() - started:.0f} s")
    return failed


def refuse_other_images(tasks: Sequence[TrainingJob]) -> None:
    """See that what is done was trained on the images that there are now.

    Raises:
        UserError: if a task was not.
    """
    for task in tasks:
        if not task.is_done():
            continue
        then, now = json.loads(task.folder.result.read_text())["data"]["hash"], read_data(task.config)[0].content_hash
        if then != now:
            raise UserError(
                f"{task.folder.path} was trained on other images than data={task.config.data.name} has now (hash "
                f"{then[:12]}, now {now[:12]}): delete the folder, or say runs=ANOTHER_FOLDER"
            )


def train_quietly(task: TrainingJob, wait: bool = True) -> None:
    """Run a task; what it would print goes to its log.

    Args:
        wait: while another process trains it.
    """
    task.folder.path.mkdir(parents=True, exist_ok=True)
    with open(task.folder.log, "a") as log, redirect_stdout(log), redirect_stderr(log):
        train(task.config, replace(task.options, quiet=True), wait)


def train_unless_held(task: TrainingJob) -> None:
    """Run a task, or leave it to whoever is at it."""
    try:
        train_quietly(task, wait=False)
    except RunLockedError:
        return


def _note(task: TrainingJob, error: str) -> str:
    """Write into the folder what ended the task, also where the process could not; the reason, for a person."""
    reason = error.strip().splitlines()[-1]
    try:
        with open(task.folder.log, "a") as log:
            log.write(error)
        if not task.folder.failed.exists():
            task.folder.fail(reason, error)
    except OSError as problem:  # a full disk, which may be what ended the task
        return f"{reason}\n  (and {task.folder.log} cannot be written: {problem})"
    return f"{reason}\n  see {task.folder.log}"
