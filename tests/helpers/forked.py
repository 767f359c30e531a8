"""Processes forked from one that has imported torch and the benchmark once, which spares each of them some seconds.

That one is the server of multiprocessing's context ``forkserver``: it runs nothing else and has no thread, so that what
is forked from it starts as a new interpreter does after these imports.
"""

import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from benchmarks.jobs.executors import local

SERVER = multiprocessing.get_context("forkserver")
IMPORTED = [
    "torch._inductor",  # which PyTorch imports with the first optimizer or deterministic algorithm, in two seconds
    "torch.utils.tensorboard",
    "benchmarks.__main__",
    "benchmarks.tuning.trial",
    "benchmarks.training.extraction",
    "benchmarks.classification.jobs",
]


def start(function: Callable[..., object], *arguments: object, output: str | Path | None = None) -> BaseProcess:
    """A process that calls a function, leads a process group of its own and prints into a file.

    Args:
        function: importable by name.
        *arguments: picklable.
        output: of the process and what it starts; None for none.
    """
    process = _from_server(_call, str(output or os.devnull), function, arguments)
    process.start()
    return process


def lines_of(function: Callable[..., object], *arguments: object) -> list[dict[str, Any]]:
    """The JSON lines that a function prints in a process of its own, which has to end well."""
    with TemporaryDirectory() as folder:
        output = Path(folder) / "output"
        process = start(function, *arguments, output=output)
        process.join()
        printed = output.read_text()
    assert process.exitcode == 0, printed
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


def start_command(words: Sequence[str]) -> BaseProcess:
    """``pml-aug WORDS`` in a process group that it leads, with its workers in it."""
    return start(_command, list(words))


def server() -> Any:
    """The context whose processes are forked from the server."""
    SERVER.set_forkserver_preload(IMPORTED)  # counts for the first process of the server only
    return SERVER


def fork_workers(patch: pytest.MonkeyPatch) -> None:
    """Let the worker processes of ``executor=local`` start from the server."""
    patch.setattr(local, "CONTEXT", _Workers())


class _Workers:
    """In place of the context of the executor: a worker has its parent's environment, as one that is spawned."""

    Pipe = staticmethod(SERVER.Pipe)

    def Process(self, target: Callable[..., object], args: tuple[Any, ...], daemon: bool) -> BaseProcess:  # noqa: N802
        return _from_server(target, *args, daemon=daemon)


class _ForkedWorkers:
    """The same for a process that comes from the server itself: workers are forked from it, into its process group."""

    def __init__(self) -> None:
        self.context = multiprocessing.get_context("fork")
        self.ends: list[Connection] = []

    def Pipe(self) -> tuple[Connection, Connection]:  # noqa: N802
        ours, theirs = self.context.Pipe()
        self.ends.append(ours)
        return ours, theirs

    def Process(self, target: Callable[..., object], args: tuple[Any, ...], daemon: bool) -> BaseProcess:  # noqa: N802
        return self.context.Process(target=self._run, args=(target, args), daemon=daemon)

    def _run(self, target: Callable[..., object], args: tuple[Any, ...]) -> None:
        for end in self.ends:  # else a worker would hold its own connection open, and never see it closed
            end.close()
        target(*args)


def _from_server(function: Callable[..., object], *arguments: object, daemon: bool = False) -> BaseProcess:
    return server().Process(target=_with_environment, args=(dict(os.environ), function, arguments), daemon=daemon)


def _with_environment(environment: dict[str, str], function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    function(*arguments)


def _call(output: str, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    os.setpgid(0, 0)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(file, descriptor)
    function(*arguments)


def _command(words: list[str]) -> None:
    from benchmarks.__main__ import main

    local.CONTEXT = _ForkedWorkers()  # type: ignore[assignment]
    sys.exit(main(words))
