"""Images, steps, hours and disk space of a list of trainings, from the pace of finished ones."""

import json
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError
from ..runs.checked_json import parsed
from ..runs.schema import CONFIG, RESULT, run_name
from ..training.device import choose_device
from .executors import Resources, default_workers
from .job import Amount, Job, scored_images

# the keys of a protocol that decide how long a step or an evaluation takes
PACE = (
    "batch_size", "embedding_size", "embedder", "train_images", "eval_images", "precision", "compile", "channels_last",
)  # fmt: skip


class Pace(NamedTuple):
    """Mean cost of the finished trainings of one kind."""

    step: float  # seconds
    score: float  # seconds per scored image
    files: int  # bytes


class Estimate(NamedTuple):
    """What the trainings of a list that are not done take at most."""

    trainings: int
    done: int
    steps: int
    images: int
    seconds: float  # of computation, for the trainings of a known pace
    unknown: int  # trainings of a kind of which none has finished
    workers: int
    disk: int  # bytes, for the trainings of a known pace
    free: int  # bytes

    def __str__(self) -> str:
        counted = f"{self.trainings} trainings, {self.done} of them done"
        pending = self.trainings - self.done
        if not pending:
            return counted
        parts = [f"{counted}; to do: {self.steps:,} steps on {self.images:,} images"]
        if pending > self.unknown:
            hours = self.seconds / self.workers / 3600
            parts.append(
                f"about {hours:.2g} hours on {self.workers} workers and {self.disk / 1e9:.2g} of {self.free / 1e9:.3g} "
                f"GB of free disk for {pending - self.unknown} trainings, by finished ones of the same kind"
            )
        if self.unknown:
            parts.append(f"time unknown for {self.unknown} trainings, until the first of their kind has finished")
        return "; ".join(parts)

    def refuse_if_the_disk_would_fill(self, runs: str) -> None:
        """Raise a :class:`UserError` if the trainings of a known pace need more disk space than is free."""
        if self.disk > self.free:
            raise UserError(
                f"runs={runs} would take about {self.disk / 1e9:.3g} GB, but {self.free / 1e9:.3g} GB are free there: "
                "make room, or choose another directory"
            )


def estimate(jobs: Sequence[Job], workers: int | None = None) -> Estimate:
    """What the jobs take that are not done. Nothing is trained for it.

    The pace of a kind of training (data, loss, method, trunk, protocol but for its length) is the mean of the finished
    ones in the same directory on the same type of device. ``tune`` estimates its trials by this function, too.

    Args:
        jobs: at least one; all of the same options.
        workers: as for :func:`benchmarks.jobs.runner.train_all`.

    Raises:
        UserError: the data cannot be read.
    """
    options = jobs[0].options
    runs = Path(options.runs)
    pending = [job for job in jobs if not job.is_done()]
    paces = paces_of_finished(runs, choose_device(options.device).type) if pending else {}
    amounts: dict[str, Amount] = {}  # the same for every seed
    total, seconds, disk, unknown = Amount(0, 0, 0), 0.0, 0, 0
    for job in pending:
        identity = job.identity()
        key = run_name({**identity, "seed": None})
        if key not in amounts:
            amounts[key] = job.amount()
        amount, pace = amounts[key], paces.get(kind_of(identity))
        total = Amount(*(sum(parts) for parts in zip(total, amount, strict=True)))
        if pace is None:
            unknown += 1
        else:
            seconds += amount.steps * pace.step + amount.scored * pace.score
            disk += pace.files
    at_once = default_workers(workers, Resources(options.device, options.threads, options.per_gpu))
    existing = next(path for path in (runs.resolve(), *runs.resolve().parents) if path.exists())
    return Estimate(
        trainings=len(jobs),
        done=len(jobs) - len(pending),
        steps=total.steps,
        images=total.images,
        seconds=seconds,
        unknown=unknown,
        workers=max(1, min(at_once, len(pending))),
        disk=disk,
        free=shutil.disk_usage(existing).free,
    )


def kind_of(identity: Mapping[str, Any]) -> str:
    """A key of all trainings of one pace: they may differ in fold, seed, length and numbers of loss and optimizer."""
    protocol = {key: identity["protocol"].get(key) for key in PACE}
    names = identity["loss"]["name"], identity["method" if "method" in identity else "mix"]["name"]
    return json.dumps([identity["data"], names, identity["trunk"], protocol], sort_keys=True)


def paces_of_finished(runs: Path, device_type: str) -> dict[str, Pace]:
    """The pace of each kind of training that has finished in a directory on this type of device ("cpu", "cuda").

    Damaged run directories are left out; they are reported when they are trained or read.
    """
    found = defaultdict(list)
    for done in runs.glob("*/done"):
        folder = done.parent
        try:
            result, identity = parsed(folder / RESULT), parsed(folder / CONFIG)
            if result["cost"]["device"].split(":")[0] == device_type:
                found[kind_of(identity)].append(_pace(folder, result, identity["protocol"]["test_scoring"]))
        except (UserError, OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return {
        kind: Pace(
            step=sum(pace.step for pace in paces) / len(paces),
            score=sum(pace.score for pace in paces) / len(paces),
            files=max(pace.files for pace in paces),
        )
        for kind, paces in found.items()
    }


def _pace(folder: Path, result: dict[str, Any], test_scoring: str) -> Pace:
    images, cost = result["data"]["images"], result["cost"]
    test = images["test"] + images.get("gallery", 0)
    scored = scored_images(images["val"], test, len(result["history"]), test_scoring)
    files = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    rest = cost["total_seconds"] - cost["train_seconds"]
    return Pace(cost["seconds_per_step"], rest / max(1, scored), files)
