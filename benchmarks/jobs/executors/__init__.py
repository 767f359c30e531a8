"""Run many jobs in processes of this machine or of a Ray cluster."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ...config.lists import EXECUTORS
from ...errors import UserError, unknown
from . import local, ray
from .local import Outcome

__all__ = ["Outcome", "Resources", "default_workers", "run_all"]


class Resources(NamedTuple):
    """What one job takes."""

    device: str = "auto"  # as in the options of a run; auto and cuda are placed on the GPUs in turn
    threads: int = 1
    per_gpu: int = 1  # jobs that share a GPU

    @property
    def any_gpu(self) -> bool:
        """Whether the job runs on whichever GPU it is given."""
        return self.device in ("auto", "cuda")

    @property
    def one_gpu(self) -> bool:
        """Whether all jobs run on the same GPU."""
        return self.device.startswith("cuda:")


def run_all(
    executor: str,
    function: Callable[[Any], object],
    jobs: Sequence[Any],
    workers: int | None = None,
    resources: Resources | None = None,
    until: float | None = None,
) -> Iterator[Outcome]:
    """The outcome of ``function(job)`` for every job, in the order in which they end.

    A job that raises or kills its process leaves the others alone.

    Args:
        executor: "local" for processes of this machine, or "ray" for those of a Ray cluster: the running one (the
            address in RAY_ADDRESS, or one started on this machine), else a temporary one on this machine.
        function: importable by name; its return value is dropped.
        jobs: picklable.
        workers: maximum number of jobs at a time; None for as many as there is room for.
        resources: of each job.
        until: time of ``time.monotonic()`` at which jobs are ended that still run, and no other starts; "local" only.

    Raises:
        UserError: an unknown executor, a number out of range, or Ray where it is not installed.
    """
    resources = Resources() if resources is None else resources
    if executor not in EXECUTORS:
        raise UserError(unknown("executor", executor, EXECUTORS))
    for name, value in (("workers", workers), ("per_gpu", resources.per_gpu), ("threads", resources.threads)):
        if value is not None and value < 1:
            raise UserError(f"{name} must be at least 1, but got {value}")
    if executor == "ray":
        assert until is None, "Ray's jobs end by themselves"
        share = 1 / resources.per_gpu if resources.any_gpu else 0.0
        return ray.run_all(function, jobs, workers, gpu_share=share, cores=resources.threads)
    gpus = local.visible_gpus() if resources.any_gpu else []
    return local.run_all(function, jobs, default_workers(workers, resources), gpus, until)


def default_workers(workers: int | None, resources: Resources) -> int:
    """Number of jobs at a time: ``workers`` if given, else as many as the GPUs or the cores of this machine take."""
    if workers is not None:
        return workers
    gpus = len(local.visible_gpus()) if resources.any_gpu else int(resources.one_gpu)
    return gpus * resources.per_gpu or max(1, local.available_cores() // resources.threads)
