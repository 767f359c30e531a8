"""The one door to what runs tasks."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from benchmarks.config.lists import ENGINES
from benchmarks.errors import UserError, unknown
from benchmarks.jobs.executors import local, ray
from benchmarks.jobs.executors.gpus import visible_gpus
from benchmarks.jobs.executors.outcome import Outcome


class Resources(NamedTuple):
    """What a task takes."""

    device: str = "auto"  # as in a run's options; auto and cuda are placed on the GPUs in turn
    threads: int = 1
    per_gpu: int = 1  # tasks that share a GPU

    @property
    def any_gpu(self) -> bool:
        """Whether a task takes whichever GPU it is given."""
        return self.device in ("auto", "cuda")

    @property
    def one_gpu(self) -> bool:
        """Whether all tasks take the same one."""
        return self.device.startswith("cuda:")


def run_all(
    engine: str,
    function: Callable[[Any], object],
    tasks: Sequence[Any],
    workers: int | None = None,
    resources: Resources | None = None,
) -> Iterator[Outcome]:
    """The outcome of ``function(task)`` for every task, in the order in which they end.

    A task that raises, or kills its process, leaves the others alone.

    Args:
        engine: "local", processes of this machine, or "ray", those of a Ray cluster: the one that is there (the
            address in RAY_ADDRESS, or one started on this machine), else one on this machine for the time being.
        function: importable by name; what it returns is dropped.
        tasks: picklable.
        workers: tasks at a time, at most; None: what there is room for.
        resources: of each task.

    Raises:
        UserError: for an unknown engine, a number out of range, or Ray where it is not installed.
    """
    resources = Resources() if resources is None else resources
    if engine not in ENGINES:
        raise UserError(unknown("engine", engine, ENGINES))
    for name, value in (("workers", workers), ("per_gpu", resources.per_gpu), ("threads", resources.threads)):
        if value is not None and value < 1:
            raise UserError(f"{name} must be at least 1, but got {value}")
    if engine == "ray":
        share = 1 / resources.per_gpu if resources.any_gpu else 0.0
        return ray.run_all(function, tasks, workers, gpu_share=share, cores=resources.threads)
    gpus = visible_gpus() if resources.any_gpu else []
    return local.run_all(function, tasks, default_workers(engine, workers, resources), gpus)


def default_workers(engine: str, workers: int | None, resources: Resources) -> int:
    """TrainingJobs at a time: the ``workers`` asked for, or as many as the GPUs take, or else as there are cores.

    Of a Ray cluster only this machine is counted, before it is asked.
    """
    if workers is not None:
        return workers
    gpus = len(visible_gpus()) if resources.any_gpu else int(resources.one_gpu)
    return gpus * resources.per_gpu or max(1, local.available_cores() // resources.threads)
