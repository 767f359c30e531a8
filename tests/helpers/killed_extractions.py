"""Computes features in forked processes that are killed, and says whether what comes out is as if they had not been.

It runs in a process of its own (forked.py), so that what is forked has no thread.
"""

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.config.compose import RunConfig, RunOptions, compose
from benchmarks.runs import resumable
from benchmarks.training import extraction
from benchmarks.trunks import SmallCNN

WORDS = ["data.num_classes=24", "data.image_size=12", "trunk.network.widths=[4,8]", "quiet=true", "device=cpu"]
VIEWS = 2


def dying(function: Callable[..., Any], calls: int) -> Callable[..., Any]:
    """The function, but for the call after so many, which kills this process."""
    count = iter(range(calls))

    def called(*args: Any, **kwargs: Any) -> Any:
        if next(count, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    return called


@cache
def configuration() -> tuple[RunConfig, RunOptions]:
    return compose(WORDS)


def attempt(out: Path, place: str | None = None, calls: int = 0) -> int:
    """The signal that ended a computation in a process of its own; 0 if it ended by itself and well."""
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        try:
            resumable.SAVE_AFTER, extraction.BATCH_SIZE = 0.0, 32
            if place == "forward":
                SmallCNN.forward = dying(SmallCNN.forward, calls)  # type: ignore[method-assign]
            elif place == "replace":
                os.replace = dying(os.replace, calls)
            elif place == "rmtree":
                shutil.rmtree = dying(shutil.rmtree, calls)
            extraction.extract(*configuration(), out, VIEWS)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(process, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError(f"the computation failed: {out}, {place}, {calls}")
    return os.WTERMSIG(status)


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in ([out] if out.is_file() else out.iterdir())}


def main(scratch: Path, name: str, places: list[tuple[str, int]]) -> None:
    """Print one JSON line: what killed each attempt, how many rows were saved by then, what is left at the end.

    Args:
        scratch: an empty directory.
        name: of the file or directory.
        places: where the attempts are killed, one after the other: what is called, and how many times it works.
    """
    configuration()  # before the forks, since it takes longer than the computation
    (scratch / "whole").mkdir()
    attempt(scratch / "whole" / name)
    mended = scratch / "mended" / name
    mended.parent.mkdir()
    seen = []
    for place, calls in places:
        killed = attempt(mended, place, calls)
        progress = mended.with_name(f"{name}.unfinished") / resumable.PROGRESS
        rows = json.loads(progress.read_text())["rows"] if progress.exists() else None
        seen.append({"signal": killed, "rows": rows, "whole": mended.exists()})
    attempt(mended)
    left = sorted(path.name for path in mended.parent.iterdir())
    print(json.dumps({"seen": seen, "same": files(mended) == files(scratch / "whole" / name), "left": left}))
