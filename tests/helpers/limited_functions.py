"""Functions for the tests of limited processes, importable in another process."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.profiling.limited import NotPossibleError


def counts(most: int) -> Iterator[dict[str, Any]]:
    for number in range(most):
        print("at", number)
        yield {"number": number}


def sleeps_with_a_child() -> Iterator[dict[str, Any]]:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield {"child": child.pid}
    time.sleep(60)
    yield {"child": 0}


def fails() -> Iterator[dict[str, Any]]:
    yield {"number": 1}
    raise RuntimeError("no luck\nat all")


def dies() -> Iterator[dict[str, Any]]:
    yield {"number": 1}
    os._exit(3)


def cannot() -> Iterator[dict[str, Any]]:
    yield from ()
    raise NotPossibleError("there is no sun")
