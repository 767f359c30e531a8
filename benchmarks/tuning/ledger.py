"""Every trial of a study, one line each, written when it ends and never changed."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypedDict

from filelock import FileLock
from optuna.trial import FrozenTrial, Trial

Line = dict[str, Any]


class Fold(TypedDict):
    """One training of a trial."""

    fold: int
    score: float  # best validation MAP@R
    images: int  # drawn from the data set; a second pass over mixtures of them counts in seconds alone
    seconds: float
    run: str  # name of the run folder


def entry(
    study: str,
    cell: str,
    attempt: Trial | FrozenTrial,
    folds: Sequence[Fold],
    outcome: str,
    worker: str,
    error: str | None = None,
) -> Line:
    """A trial's line.

    Args:
        folds: that ended.
        outcome: ``complete``, ``pruned`` or ``failed``.
    """
    started = attempt.datetime_start
    return {
        "study": study,
        "cell": cell,
        "trial": attempt.user_attrs["trial"],
        "attempt": attempt.number,
        "params": attempt.params,
        "augmentation_off": attempt.user_attrs["augmentation_off"],
        "folds": list(folds),
        "score": sum(fold["score"] for fold in folds) / len(folds) if outcome == "complete" else None,
        "images": sum(fold["images"] for fold in folds),
        "seconds": sum(fold["seconds"] for fold in folds),
        "outcome": outcome,
        "error": error,
        "started": None if started is None else started.astimezone(timezone.utc).isoformat(timespec="seconds"),
        "ended": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "worker": worker,
    }


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line, whole and on the disk when this returns, whoever else is writing.

    A cut-off line that a full disk or a power failure left at the end stays as it is, on a line of its own.
    """
    content = (json.dumps(line, allow_nan=False) + "\n").encode()
    with FileLock(f"{path}.lock"), open(path, "ab+", buffering=0) as file:
        if file.tell() and _last_byte(file.fileno(), file.tell()) != b"\n":
            content = b"\n" + content
        if file.write(content) != len(content):
            raise OSError(f"{path}: the line could not be written whole; is the disk full?")
        os.fsync(file.fileno())


def _last_byte(descriptor: int, size: int) -> bytes:
    return os.pread(descriptor, 1, size - 1)


def read(path: Path) -> list[Line]:
    """All lines; a cut-off one is named on the standard error and left out."""
    if not path.exists():
        return []
    lines = []
    for number, text in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            lines.append(json.loads(text))
        except ValueError:
            print(f"{path}: line {number} was not written to its end and is left out", file=sys.stderr)
    return lines


def count(lines: Iterable[Line]) -> int:
    """Trials in the ledger, each once."""
    return len({(line["cell"], line["trial"]) for line in lines})


def complete(lines: Iterable[Line], cell: str) -> list[Line]:
    """The lines of a search's trials that have a score, the first of each trial."""
    found: dict[int, Line] = {}
    for line in lines:
        if line["cell"] == cell and line["outcome"] == "complete":
            found.setdefault(line["trial"], line)
    return list(found.values())


def best(lines: Iterable[Line]) -> Line | None:
    """The line with the highest score, of equal ones the earliest trial; None if there is none."""
    return max(lines, key=lambda line: (line["score"], -line["trial"]), default=None)
