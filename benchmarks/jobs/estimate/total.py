"""Many trainings added up."""

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from benchmarks.config.compose import RunConfig, RunOptions
from benchmarks.errors import UserError
from benchmarks.jobs.estimate.cost import Amount, Cost, amount_of, kind_of, mean
from benchmarks.jobs.estimate.finished import costs_of_finished
from benchmarks.jobs.estimate.probe import probe
from benchmarks.jobs.executors import Resources, default_workers
from benchmarks.jobs.runner import TrainingJob
from benchmarks.runs.writer import run_name
from benchmarks.training.device import choose_device
from benchmarks.training.train import read_data

PROBE_SECONDS = 20.0  # for all probes; kinds that are left then count as the mean of the others
CHECKPOINTS = 3  # the newest, the one before, and the one that is being written


class Estimate(NamedTuple):
    """Of many trainings."""

    trainings: int
    done: int
    images: int  # that those not done train on
    seconds: float  # of work
    workers: int
    disk: int  # bytes
    free: int  # bytes
    known: str  # where the figures come from

    @property
    def hours(self) -> float:
        """With that many workers, if they do not slow each other down."""
        return self.seconds / self.workers / 3600

    def __str__(self) -> str:
        told = f"{self.trainings} trainings, {self.done} of them done"
        if self.done == self.trainings:
            return told
        return (
            f"{told}; to do: {self.images:,} training images, about {self.hours:.2g} hours on {self.workers} "
            f"workers (by {self.known}), {self.disk / 1e9:.2g} of {self.free / 1e9:.3g} GB of free disk"
        )

    def refuse_if_the_disk_would_fill(self, runs: str) -> None:
        """A :class:`UserError` that says how much room is missing."""
        if self.disk > self.free:
            raise UserError(
                f"runs={runs} would take about {self.disk / 1e9:.3g} GB, but {self.free / 1e9:.3g} GB are free there: "
                "make room, or write elsewhere"
            )


def estimate(tasks: Sequence[TrainingJob], workers: int | None = None, engine: str = "local") -> Estimate:
    """What the tasks that are not done take, at most.

    A kind of training (data, loss, method, trunk, pace of the protocol) costs what finished ones in the same folder
    took on the same kind of device, or else what a few steps take now.

    Args:
        tasks: at least one; all write into one folder.
        workers: as for :func:`benchmarks.jobs.runner.train_all`; so is `engine`.
    """
    options = tasks[0].options
    pending = [task for task in tasks if not task.is_done()]
    kinds = {kind_of(task.config.identity()): task for task in pending}
    costs, known = _costs(kinds, options)
    amounts: dict[str, Amount] = {}  # whatever the seed
    images, seconds, files = 0, 0.0, 0
    for task in pending:
        without_seed = run_name({**task.config.identity(), "seed": None})
        if without_seed not in amounts:
            amounts[without_seed] = amount_of(task.config, read_data(task.config)[1])
        amount, cost = amounts[without_seed], costs[kind_of(task.config.identity())]
        images, seconds, files = images + amount.images, seconds + amount.seconds(cost), files + cost.files
    at_once = min(
        default_workers(engine, workers, Resources(options.device, options.threads, options.per_gpu)), len(pending)
    )
    saved = max((cost.checkpoint for cost in costs.values()), default=0)
    return Estimate(
        trainings=len(tasks),
        done=len(tasks) - len(pending),
        images=images,
        seconds=seconds,
        workers=max(1, at_once),
        disk=files + at_once * CHECKPOINTS * saved,
        free=_free(Path(options.runs)),
        known=known,
    )


def _costs(kinds: dict[str, TrainingJob], options: RunOptions) -> tuple[dict[str, Cost], str]:
    """Of each kind, and where that is known from."""
    if not kinds:
        return {}, ""
    finished = costs_of_finished(Path(options.runs), choose_device(options.device).type)
    costs = {kind: finished[kind] for kind in kinds if kind in finished}
    sources = ["finished trainings"] if costs else []
    left = [kind for kind in kinds if kind not in costs]
    started = time.perf_counter()
    unknown = []
    with _probing(options) as probed:
        for kind in left:
            if costs and time.perf_counter() - started > PROBE_SECONDS:
                unknown.append(kind)
                continue
            try:
                costs[kind] = probed(kinds[kind].config, kinds[kind].options)
                sources.append("a dozen steps of a kind")
            except Exception as error:  # whatever ends a training ends a probe; the training itself will tell more
                print(f"a few steps of {kinds[kind]} failed: {type(error).__name__}: {error}", file=sys.stderr)
                unknown.append(kind)
    if unknown:
        costs |= dict.fromkeys(unknown, mean(list(costs.values())))
        sources.append(f"the mean of these for {len(unknown)} of {len(kinds)} kinds")
    return costs, ", ".join(dict.fromkeys(sources))


@contextmanager
def _probing(options: RunOptions) -> Iterator[Callable[[RunConfig, RunOptions], Cost]]:
    """:func:`probe`; on a GPU in a process of its own, whose end gives the GPU's memory back to the trainings."""
    if choose_device(options.device).type != "cuda":
        yield probe
        return
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
        yield lambda config, options: apart.submit(probe, config, options).result()


def _free(folder: Path) -> int:
    there = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    return shutil.disk_usage(there).free
