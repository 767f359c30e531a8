"""Run jobs on a Ray cluster; the jobs of a node that dies are run again on another."""

import importlib.util
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ...errors import UserError
from .local import Outcome

RETRIES = 3  # of a job whose process or node died


def run_all(
    function: Callable[[Any], object], jobs: Sequence[Any], workers: int | None, gpu_share: float, cores: int
) -> Iterator[Outcome]:
    """The outcome of ``function(job)`` for every job, in the order in which they end.

    All nodes must see this working directory, and the files that the jobs read and write, under the same paths.

    Args:
        function: importable by name; its return value is dropped.
        jobs: picklable.
        workers: maximum number of jobs at a time; None for as many as the cluster holds.
        gpu_share: fraction of a GPU that each job takes, if the cluster has GPUs.
        cores: number of cores that each job takes.

    Raises:
        UserError: Ray is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise UserError('executor=ray needs Ray: pip install "pml-aug[ray]"')
    return _outcomes(function, jobs, workers, gpu_share, cores)


def _outcomes(
    function: Callable[[Any], object], jobs: Sequence[Any], workers: int | None, gpu_share: float, cores: int
) -> Iterator[Outcome]:
    import ray

    ours = not ray.is_initialized()
    if ours:
        ray.init(log_to_driver=False, include_dashboard=False)
    share = gpu_share if ray.cluster_resources().get("GPU", 0) else 0.0
    remote = ray.remote(num_cpus=cores, num_gpus=share, max_retries=RETRIES)(_call)
    waiting = iter(enumerate(jobs))
    running: dict[Any, int] = {}
    try:
        while True:
            while workers is None or len(running) < workers:
                position, job = next(waiting, (-1, None))
                if position < 0:
                    break
                running[remote.remote(function, job, Path.cwd())] = position
            if not running:
                break
            (ended,), _ = ray.wait(list(running), num_returns=1)
            position = running.pop(ended)
            try:
                error = ray.get(ended)
            except ray.exceptions.RayError as problem:
                error = f"Ray lost the job {1 + RETRIES} times: {problem}"
            yield Outcome(position, error)
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        if ours:
            ray.shutdown()


def _call(function: Callable[[Any], object], job: object, directory: Path) -> str | None:
    os.chdir(directory)  # the base of relative paths
    try:
        function(job)
    except Exception:
        return traceback.format_exc()
    return None
