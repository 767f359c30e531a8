"""Many tasks over a few lasting processes, which may fail or die without taking the others along."""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from benchmarks.jobs.executors.outcome import Outcome

CONTEXT = multiprocessing.get_context("spawn")  # a forked torch or CUDA does not work


class _Worker:
    """A process that calls ``function`` on each task it is sent, and what it works at."""

    def __init__(self, function: Callable[[Any], object], gpu: str | None) -> None:
        self.gpu = gpu
        self.connection, theirs = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=_serve, args=(theirs, function, gpu), daemon=True)
        self.process.start()
        theirs.close()  # so that the process's death ends the connection
        self.task = -1

    def give(self, position: int, task: object) -> None:
        self.task = position
        self.connection.send(task)

    def outcome(self) -> Outcome:
        """Of the task at hand; waits for it."""
        try:
            return Outcome(self.task, self.connection.recv())
        except (EOFError, ConnectionError):
            self.process.join()
            return Outcome(self.task, f"the worker process died with exit code {self.process.exitcode}")


def run_all(
    function: Callable[[Any], object], tasks: Sequence[Any], workers: int, gpus: Sequence[str] = ()
) -> Iterator[Outcome]:
    """The outcome of ``function(task)`` for every task, in the order in which they end.

    Args:
        function: importable by name; what it returns is dropped.
        tasks: picklable.
        workers: processes at most.
        gpus: names for CUDA_VISIBLE_DEVICES, of which each process gets one in turn; none: they see what this one sees.
    """
    waiting = iter(enumerate(tasks))
    everyone: list[_Worker] = []
    busy: dict[Connection, _Worker] = {}

    def give_next(worker: _Worker | None, gpu: str | None) -> None:
        following = next(waiting, None)
        if following is None:
            return
        if worker is None or not worker.process.is_alive():
            worker = _Worker(function, gpu)
            everyone.append(worker)
        worker.give(*following)
        busy[worker.connection] = worker

    try:
        for number in range(workers):
            give_next(None, gpus[number % len(gpus)] if gpus else None)
        while busy:
            for ready in wait(list(busy)):
                worker = busy.pop(ready)  # type: ignore[call-overload]  # what was waited for is what comes back
                outcome = worker.outcome()
                give_next(worker, worker.gpu)
                yield outcome
    finally:
        for worker in busy.values():
            worker.process.terminate()
        for worker in everyone:
            worker.connection.close()  # which ends one that is idle
            worker.process.join()


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _serve(connection: Connection, function: Callable[[Any], object], gpu: str | None) -> None:
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # before CUDA starts, and this process sees no other
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers itself ...
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ... and lets them clean up
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        error = None
        try:
            function(task)
        except Exception:
            error = traceback.format_exc()
        connection.send(error)


def _end_with_parent() -> None:
    """A parent that is killed cannot end its workers, and they would train on for nobody."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
