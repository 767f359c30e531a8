"""Many tasks over a Ray cluster; those of a node that dies are tried again on another."""

import importlib.util
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError
from benchmarks.jobs.executors.outcome import Outcome

RETRIES = 3  # of a task whose process or node died


def run_all(
    function: Callable[[Any], object], tasks: Sequence[Any], workers: int | None, gpu_share: float, cores: int
) -> Iterator[Outcome]:
    """The outcome of ``function(task)`` for every task, in the order in which they end.

    The nodes must see this working directory under the same path, and what the tasks read and write.

    Args:
        function: importable by name; what it returns is dropped.
        tasks: picklable.
        workers: tasks at a time at most; None: as many as the cluster holds.
        gpu_share: of a GPU, what each task takes where the cluster has GPUs.
        cores: what each task takes.

    Raises:
        UserError: Ray is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise UserError('engine=ray needs Ray: pip install "pml-aug[ray]"')
    return _outcomes(function, tasks, workers, gpu_share, cores)


def _outcomes(
    function: Callable[[Any], object], tasks: Sequence[Any], workers: int | None, gpu_share: float, cores: int
) -> Iterator[Outcome]:
    import ray

    ours = not ray.is_initialized()
    if ours:
        ray.init(log_to_driver=False, include_dashboard=False)
    share = gpu_share if ray.cluster_resources().get("GPU", 0) else 0.0
    remote = ray.remote(num_cpus=cores, num_gpus=share, max_retries=RETRIES)(_call)
    waiting = iter(enumerate(tasks))
    running: dict[Any, int] = {}
    try:
        while True:
            while workers is None or len(running) < workers:
                position, task = next(waiting, (-1, None))
                if position < 0:
                    break
                running[remote.remote(function, task, Path.cwd())] = position
            if not running:
                break
            (ended,), _ = ray.wait(list(running), num_returns=1)
            position = running.pop(ended)
            try:
                error = ray.get(ended)
            except ray.exceptions.RayError as problem:
                error = f"Ray lost the task {1 + RETRIES} times: {problem}"
            yield Outcome(position, error)
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
        if ours:
            ray.shutdown()


def _call(function: Callable[[Any], object], task: object, directory: Path) -> str | None:
    os.chdir(directory)  # where relative paths start
    try:
        function(task)
    except Exception:
        return traceback.format_exc()
    return None
