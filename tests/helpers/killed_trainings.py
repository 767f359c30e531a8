"""Trains in forked processes that are killed, and says whether what comes out is what an undisturbed training gives.

It runs in a process of its own (forked.py), so that what is forked has no thread.
"""

import builtins
import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.utils.tensorboard  # noqa: F401 (before the forks, too)
from record_keeper.db_utils import DBManager
from tiny_training import TINY

from benchmarks.config.compose import compose
from benchmarks.runs import writer as records
from benchmarks.training.check import check
from benchmarks.training.train import read_data, train

SETTINGS = [*TINY, "protocol.iterations_per_epoch=4", "protocol.epochs=5", "protocol.evaluate_every=2"]
MEMORY = "method.wrapper={_target_:pml_aug.wrappers.CrossBatchMemory,memory_size:24}"
CHOICES = {
    "iaa_ps": ["loss=proxy_anchor", "method=iaa_ps"],
    "idml": ["loss=proxy_anchor", "method=idml", "protocol.keep_embeddings=true"],
    "memory": ["loss=contrastive", MEMORY, "protocol.test_scoring=once", "protocol.keep_embeddings=true"],
}
Failpoint = tuple[str, int]  # what is called, and how many times it works


def die(*_: object, **__: object) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def dying(function: Callable[..., Any], calls: int, last: Callable[..., Any]) -> Callable[..., Any]:
    """The function, but for the call after so many, when ``last`` is called instead."""
    count = iter(range(calls))
    return lambda *args, **kwargs: function(*args, **kwargs) if next(count, None) is not None else last(*args, **kwargs)


def arm(failpoint: Failpoint) -> None:
    """Make this process kill itself there."""
    name, calls = failpoint
    replace, execute = os.replace, DBManager.execute

    def half_written(path: str, mode: str = "r", **kwargs: Any) -> Any:
        file = builtins.open(path, mode, **kwargs)  # noqa: SIM115 (the caller closes it)
        if mode == "wb":
            file.write(b"half of it")
            file.flush()
            die()
        return file

    def half_recorded(self: DBManager, query: str, values: Any = (), many: bool = False, fetch: bool = False) -> Any:
        if not many:
            return execute(self, query, values, many, fetch)
        self.open()
        self.cursor.executemany(query, values)  # a transaction without an end
        die()

    if name == "before replace":
        os.replace = dying(replace, calls, die)
    elif name == "after replace":
        os.replace = dying(replace, calls, lambda *args: (replace(*args), die()))
    elif name == "half a file":
        records.open = dying(builtins.open, calls, half_written)
    elif name == "half a transaction":
        DBManager.execute = dying(execute, calls, half_recorded)
    elif name == "deleting":
        Path.unlink = dying(Path.unlink, calls, die)
    else:
        raise ValueError(f"no failpoint {name!r}")


def attempt(words: list[str], runs: Path, failpoint: Failpoint | None = None, seconds: float | None = None) -> int:
    """The signal that ended a training in a process of its own; 0 if it ended by itself and well."""
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        try:
            if failpoint is not None:
                arm(failpoint)
            train(*compose([*SETTINGS, *words, f"runs={runs}"]))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError(f"the training failed: {words}, {failpoint}")
    return os.WTERMSIG(status)


def folder_of(runs: Path) -> Path:
    (folder,) = (path.parent for path in runs.glob("*/config.yaml"))
    return folder


def differences(whole: Path, mended: Path) -> list[str]:
    """What differs of two finished folders; time and memory may."""
    found = []
    results = [json.loads((folder / "result.json").read_text()) for folder in (whole, mended)]
    for result in results:
        del result["cost"]
    if results[0] != results[1]:
        found.append("result.json")
    for path in [*whole.glob("*.npz"), *whole.glob("*.npy"), *whole.glob("records/*.csv")]:
        if path.read_bytes() != (mended / path.relative_to(whole)).read_bytes():
            found.append(path.name)
    names = [sorted(str(p.relative_to(f)) for p in f.rglob("*") if "tfevents" not in p.name) for f in (whole, mended)]
    if names[0] != names[1]:
        found.append(f"files: {set(names[0]) ^ set(names[1])}")
    return found


def where(folder: Path) -> str:
    """How far a killed training had come."""
    names = [f"{len(list(folder.glob('checkpoint-*.pt')))} checkpoints"]
    return "+".join([*names, *(name for name in ("result.json", "done") if (folder / name).exists())])


def main(scratch: Path, seed: int, moments: int, failpoints: list[tuple[str, list[Failpoint]]]) -> None:
    """Print one JSON line a trial: what, where it was killed, what differs.

    Args:
        scratch: an empty folder.
        seed: of the random moments.
        moments: kills a training at random moments.
        failpoints: trainings by name, and where they are killed one attempt after the other.
    """
    draw = random.Random(seed)
    whole, took = {}, {}
    for name, words in CHOICES.items():
        config, _ = compose([*SETTINGS, *words])
        read_data(config), check(config)  # before the forks, which then have the data and what is imported
        started = time.perf_counter()
        attempt(words, scratch / name / "whole")
        took[name] = time.perf_counter() - started
        whole[name] = folder_of(scratch / name / "whole")
    trials: list[tuple[str, list[dict[str, Any]]]] = [
        (name, [{"seconds": draw.uniform(0.1, 0.8) * took[name]} for _ in range(moments)]) for name in CHOICES
    ]
    trials += [(name, [{"failpoint": tuple(point)} for point in points]) for name, points in failpoints]
    for number, (name, kills) in enumerate(trials):
        runs = scratch / name / str(number)
        seen = []
        for kill in kills:
            if attempt(CHOICES[name], runs, **kill):
                folders = [path for path in runs.glob("*") if (path / "lock").exists()]
                seen.append(where(folders[0]) if folders else "0 checkpoints")
        attempt(CHOICES[name], runs)
        print(
            json.dumps(
                {
                    "training": name,
                    "kills": kills,
                    "seen": seen,
                    "differences": differences(whole[name], folder_of(runs)),
                }
            ),
            flush=True,
        )
