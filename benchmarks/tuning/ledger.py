"""The ledger of a study: one line per trial, added when the trial ends and never changed."""

import json
import os
import platform
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

from filelock import FileLock

from ..runs.checked_json import Fields, parsed, read_regular

Line = dict[str, Any]
OUTCOMES = ("complete", "pruned", "failed")


class Fold(TypedDict):
    """One training of a trial."""

    fold: int
    score: float  # best validation MAP@R
    epoch: int  # of that score; 0: the untrained network
    active_steps: int | None  # steps in which the method added something; None: it acts in every step, or is none
    images: int  # drawn from the data set; a second pass over mixtures of them counts in seconds alone
    seconds: float
    run: str  # name of the run directory


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def entry(
    study: str,
    cell: str,
    trial: int,
    params: Mapping[str, Any],
    augmentation_off: bool,
    folds: Sequence[Fold],
    outcome: str,
    started: str,
    error: str | None = None,
) -> Line:
    """The line of a trial.

    Args:
        folds: finished trainings.
        outcome: one of :data:`OUTCOMES`.
    """
    return {
        "study": study,
        "cell": cell,
        "trial": trial,
        "params": dict(params),
        "augmentation_off": augmentation_off,
        "folds": list(folds),
        "score": sum(fold["score"] for fold in folds) / len(folds) if outcome == "complete" else None,
        "images": sum(fold["images"] for fold in folds),
        "seconds": sum(fold["seconds"] for fold in folds),
        "outcome": outcome,
        "error": error,
        "started": started,
        "ended": now(),
        "worker": f"{platform.node()}:{os.getpid()}",
    }


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line; it is whole and on the disk when this returns, whatever other processes write.

    A line that a full disk or a power failure cut off stays as it is, on a line of its own.
    """
    content = (json.dumps(line, allow_nan=False) + "\n").encode()
    with FileLock(f"{path}.lock"), open(path, "ab+", buffering=0) as file:
        if size := file.tell():
            file.seek(size - 1)
            if file.read(1) != b"\n":
                content = b"\n" + content
        if file.write(content) != len(content):
            raise OSError(f"{path}: the line could not be written whole; is the disk full?")
        os.fsync(file.fileno())


def read(path: Path) -> list[Line]:
    """All lines in the order in which they were written; one that was cut off is left out with a warning.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return []
    lines = []
    for number, text in enumerate(read_regular(path).splitlines(), start=1):
        try:
            json.loads(text)
        except ValueError:
            warnings.warn(f"{path}: line {number} is cut off; its trial runs again", stacklevel=2)
            continue
        except RecursionError:
            pass  # parsed() refuses it
        line = parsed(path, text)
        _check(Fields(path, line, f"line {number}: "))
        lines.append(line)
    return lines


def _check(line: Fields) -> None:
    for key, kind in (("cell", str), ("params", dict), ("augmentation_off", bool), ("error", (str, type(None)))):
        line.get(key, kind)
    line.count("trial"), line.count("images"), line.number("seconds")
    outcome = line.get("outcome", str)
    if outcome not in OUTCOMES:
        raise line.impossible("outcome", outcome)
    if outcome == "complete":
        line.fraction("score")
    for fold in line.each("folds"):
        fold.fraction("score")


def ended(lines: Iterable[Line], cell: str) -> set[int]:
    """The numbers of a search's trials that have a line."""
    return {line["trial"] for line in lines if line["cell"] == cell}


def complete(lines: Iterable[Line], cell: str) -> list[Line]:
    """The lines of a search's trials that have a score, one per trial."""
    found: dict[int, Line] = {}
    for line in lines:
        if line["cell"] == cell and line["outcome"] == "complete":
            found.setdefault(line["trial"], line)
    return list(found.values())


def no_evidence(line: Line) -> str | None:
    """Why the score of a complete trial says nothing about its parameters; None if it does."""
    folds = line["folds"]
    if folds and all(fold.get("epoch") == 0 for fold in folds):
        return "validation chose the untrained network"
    if folds and not line["augmentation_off"] and all(fold.get("active_steps") == 0 for fold in folds):
        return "the method added nothing in any step"
    return None


def best(lines: Iterable[Line]) -> Line | None:
    """The line with the highest score among those that are evidence, of equal ones the earliest trial; or None."""
    known = (line for line in lines if no_evidence(line) is None)
    return max(known, key=lambda line: (line["score"], -line["trial"]), default=None)
