"""Run jobs in a few long-lived processes of this machine, which may fail or die one by one."""

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

CONTEXT = multiprocessing.get_context("spawn")  # torch and CUDA do not survive a fork


class Outcome(NamedTuple):
    """How a job ended."""

    job: int  # position in the sequence of jobs
    error: str | None  # a traceback, or a sentence if the process died; None for success


class _Worker:
    """A process that calls ``function`` on each job it is sent, and the job it is busy with."""

    def __init__(self, function: Callable[[Any], object], gpu: str | None) -> None:
        self.gpu = gpu
        self.connection, theirs = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=_serve, args=(theirs, function, gpu), daemon=True)
        self.process.start()
        theirs.close()  # so that the death of the process closes the connection
        self.position = -1

    def send(self, position: int, job: object) -> None:
        self.position = position
        self.connection.send(job)

    def outcome(self) -> Outcome:
        """Wait for the outcome of the current job."""
        try:
            return Outcome(self.position, self.connection.recv())
        except (EOFError, ConnectionError):
            self.process.join()
            return Outcome(self.position, f"the worker process died with exit code {self.process.exitcode}")


def run_all(
    function: Callable[[Any], object],
    jobs: Sequence[Any],
    workers: int,
    gpus: Sequence[str] = (),
    until: float | None = None,
) -> Iterator[Outcome]:
    """The outcome of ``function(job)`` for every job, in the order in which they end.

    Args:
        function: importable by name; its return value is dropped.
        jobs: picklable.
        workers: maximum number of processes.
        gpus: values of CUDA_VISIBLE_DEVICES, one per process in turn; empty to leave the variable as it is.
        until: time of ``time.monotonic()`` at which jobs are ended that still run, and no other starts; None: never.
    """
    waiting = iter(enumerate(jobs))
    started: list[_Worker] = []
    busy: dict[Connection, _Worker] = {}

    def send_next(worker: _Worker | None, gpu: str | None) -> None:
        following = next(waiting, None)
        if following is None:
            return
        if worker is None or not worker.process.is_alive():
            worker = _Worker(function, gpu)
            started.append(worker)
        worker.send(*following)
        busy[worker.connection] = worker

    try:
        for number in range(workers):
            send_next(None, gpus[number % len(gpus)] if gpus else None)
        while busy:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return
            for ready in wait(list(busy), left):
                worker = busy.pop(ready)  # type: ignore[call-overload]  # `wait` returns the connections it was given
                outcome = worker.outcome()
                send_next(worker, worker.gpu)
                yield outcome
    finally:
        for worker in busy.values():
            worker.process.terminate()
        for worker in started:
            worker.connection.close()  # which ends an idle process
            worker.process.join()


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """Names of the GPUs that this process sees, as values for CUDA_VISIBLE_DEVICES; empty without CUDA."""
    import torch  # takes seconds to import, which every process of a pool would spend

    count = torch.cuda.device_count()
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [name.strip() for name in given.split(",")] if given else [str(index) for index in range(count)]
    return names[:count]


def _serve(connection: Connection, function: Callable[[Any], object], gpu: str | None) -> None:
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # must be set before CUDA starts
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers itself ...
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ... and lets them clean up
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        error = None
        try:
            function(job)
        except Exception:
            error = traceback.format_exc()
        connection.send(error)


def _end_with_parent() -> None:
    """Terminate this worker when its parent dies, even if the parent was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
