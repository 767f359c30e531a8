"""One trial: a training on each fold, one after another."""

import json
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

from optuna.exceptions import TrialPruned

from benchmarks.jobs.runner import TrainingJob, train_quietly
from benchmarks.training.selection import CRITERION
from benchmarks.tuning import ledger
from benchmarks.tuning.heartbeat import worker_name
from benchmarks.tuning.ledger import Fold
from benchmarks.tuning.queue import Attempt, Queue
from benchmarks.tuning.study import Cell, StudyConfig, trial_config


class Turn(NamedTuple):
    """Work at whichever trial of a search waits next."""

    study: StudyConfig
    cell: Cell


def work(turn: Turn) -> None:
    """Take a trial, train it, write how it ended; nothing to do if no trial waits."""
    queue = Queue(turn.study, turn.cell)
    attempt = queue.claim()
    if attempt is None:
        return
    with closing(attempt.working):
        folds: list[Fold] = []
        outcome, error = "complete", None
        try:
            train_folds(turn, attempt, folds)
        except TrialPruned:
            outcome = "pruned"
        except Exception as failure:
            outcome, error = "failed", f"{type(failure).__name__}: {failure}"
        except BaseException:  # told to stop, by a signal or from the keyboard
            queue.give_back(attempt)
            raise
        line = ledger.entry(
            turn.study.name, turn.cell.name, attempt.trial, folds, outcome, worker=worker_name(), error=error
        )
        queue.end(line)


def train_folds(turn: Turn, attempt: Attempt, folds: list[Fold]) -> None:
    """Train on each fold of the study; what has ended is added to ``folds``.

    A training that another trial has done already is not done again: its scores, images and seconds count as if.

    Raises:
        TrialPruned: if the pruner gives the trial up. Trials that a search must hold are never pruned.
    """
    study, trial = turn.study, attempt.trial
    held = trial.user_attrs["augmentation_off"] or trial.user_attrs["declared"]
    config, options = trial_config(study, turn.cell, trial.params, trial.user_attrs["augmentation_off"])
    for number, fold in enumerate(study.folds, start=1):
        task = TrainingJob(replace(config, fold=fold), options)
        folds.append(finished(task, fold))
        trial.report(sum(done["score"] for done in folds) / number, step=number)
        if number < len(study.folds) and not held and trial.should_prune():
            raise TrialPruned


def finished(task: TrainingJob, fold: int) -> Fold:
    """A training's figures, once it has been done by this process or another one."""
    if not task.folder.is_done():
        train_quietly(task)  # or wait for the process that trains it
    result = json.loads(task.folder.result.read_text())
    return {
        "fold": fold,
        "score": result["selection"]["validation"]["val"][CRITERION],
        "images": result["images_seen"],
        "seconds": result["cost"]["total_seconds"],
        "run": task.folder.name,
    }
