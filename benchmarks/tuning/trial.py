"""One trial: a training on each fold, then a line in the ledger."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout
from optuna import Trial

from ..jobs.runner import TrainingJob, train_quietly
from ..runs.checked_json import parsed
from ..runs.schema import PRIMARY
from . import ledger
from .cells import Cell, read_trials, trial_config
from .ledger import Fold
from .plan import Planned, last_trial, start
from .study import StudyConfig


class TrialJob(NamedTuple):
    """One trial of a search."""

    study: StudyConfig
    cell: Cell
    number: int
    planned: Planned | None  # None: the last trial of a method, known when the others have ended
    wait: bool = False  # for the process that runs the trial, if another one does

    @property
    def lock(self) -> Path:
        return self.study.folder / "locks" / f"{self.cell.name.replace('/', '.')}.{self.number}"


def run_trial(job: TrialJob) -> None:
    """Train on each fold and add the trial's line to the ledger.

    Nothing is done for a trial that has ended, that another process runs (unless ``job.wait``), or, the last one of a
    method, that must come after others. The operating system releases the lock however the process ends; the next
    process trains on from the checkpoints in the run directories.
    """
    job.lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        locked = FileLock(job.lock).acquire(blocking=job.wait)
    except Timeout:
        return
    with locked:
        study, cell, started = job.study, job.cell, ledger.now()
        lines = read_trials(study, [cell])
        ended = ledger.ended(lines, cell.name)
        if job.number in ended or (job.planned is None and len(ended) < job.number):
            return
        planned = last_trial(cell, lines) if job.planned is None else job.planned
        trial = start(study, cell, job.number, planned, lines)
        folds: list[Fold] = []
        error = None
        try:
            outcome = train_folds(job, trial, planned, folds)
        except OSError:  # a full disk says nothing about the parameters
            raise
        except Exception as failure:
            outcome, error = "failed", f"{type(failure).__name__}: {failure}"
        line = ledger.entry(
            study.name, cell.name, job.number, trial.params, planned.augmentation_off, folds, outcome, started, error
        )
        ledger.append(study.ledger, line)


def train_folds(job: TrialJob, trial: Trial, planned: Planned, folds: list[Fold]) -> str:
    """Train on each fold of the study and add what came out to ``folds``; ``complete`` or ``pruned``.

    A training that another trial shares is done once; its score, images and seconds count in both. The pruner sees the
    mean over the folds so far, and never ends a trial that every search holds.
    """
    config, options = trial_config(job.study, job.cell, trial.params, planned.augmentation_off)
    for number, fold in enumerate(job.study.folds, start=1):
        folds.append(trained(TrainingJob(replace(config, fold=fold), options), fold))
        trial.report(sum(done["score"] for done in folds) / number, step=number)
        prunable = not (planned.augmentation_off or planned.declared)
        if prunable and number < len(job.study.folds) and trial.should_prune():
            return "pruned"
    return "complete"


def trained(task: TrainingJob, fold: int) -> Fold:
    """What a training gave, after it was trained here or by another process."""
    if not task.is_done():
        train_quietly(task)
    result = parsed(task.folder.result)
    chosen, activity = result["selection"]["validation"], result["method_activity"]
    return {
        "fold": fold,
        "score": chosen["val"][PRIMARY],
        "epoch": chosen["epoch"],
        "active_steps": None if activity is None else activity["active_steps"],
        "images": result["images_seen"],
        "seconds": result["cost"]["total_seconds"],
        "run": task.folder.name,
    }
