"""A function in a process of its own that is killed at a time limit; each row that it yields is on the disk at once."""

import json
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from ..runs.writer import write_whole

DONE, FAILED, KILLED, LEFT_OUT = "done", "failed", "killed at its limit", "left out"
Rows = Iterable[Mapping[str, Any]]


class NotPossibleError(Exception):
    """What a function raises that cannot be carried out on this machine; the message says why."""


class Ended(NamedTuple):
    """How a function ended."""

    status: str  # DONE, FAILED, KILLED or LEFT_OUT
    reason: str  # of a status other than DONE, in one line
    seconds: float


def run_limited(
    function: Callable[..., Rows], arguments: tuple[Any, ...], seconds: float, rows: Path, log: Path, fork: bool = False
) -> Ended:
    """Call a function in another process, and write what it yields.

    Args:
        function: importable by name; yields rows of json.
        arguments: picklable.
        seconds: after which the process, and every process that it has started, is killed.
        rows: file of the rows, one a line, complete up to the last one.
        log: file of what the process prints.
        fork: start from a process that has loaded the module of the function already, which saves seconds, but is not
            safe where the module starts CUDA.
    """
    for path in (rows, log):
        write_whole(path, b"")
    context: Any = get_context("forkserver" if fork else "spawn")
    if fork:
        context.set_forkserver_preload([function.__module__])
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(theirs, function, arguments, rows, log))
    began = time.monotonic()
    process.start()
    theirs.close()
    try:
        process.join(seconds)
        took, late = time.monotonic() - began, process.is_alive()
    finally:  # also when this process is interrupted
        _kill(process)
    if late:
        return Ended(KILLED, f"not done after {seconds:.0f} s", took)
    try:
        status, reason = mine.recv()
    except (EOFError, OSError):
        status, reason = FAILED, f"the process died with exit code {process.exitcode}"
    return Ended(status, reason, took)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows in a file of :func:`run_limited`; a last line that was cut off is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        with suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return rows


def _serve(
    connection: Connection, function: Callable[..., Rows], arguments: tuple[Any, ...], rows: Path, log: Path
) -> None:
    os.setsid()  # so that those whom it starts can be killed with it
    with open(log, "ab", buffering=0) as output:
        for descriptor in (1, 2):
            os.dup2(output.fileno(), descriptor)
    ended = DONE, ""
    try:
        with open(rows, "a", encoding="utf-8") as file:
            for row in function(*arguments):
                file.write(json.dumps(row) + "\n")
                file.flush()
    except NotPossibleError as error:
        ended = LEFT_OUT, str(error)
    except BaseException as error:  # no failure of a step may end the others
        traceback.print_exc()
        ended = FAILED, f"{type(error).__name__}: {(str(error).splitlines() or ['no reason given'])[0]}"
    connection.send(ended)


def _kill(process: Any) -> None:
    """Kill a process, if it is still alive, with what it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()
