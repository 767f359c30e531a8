"""The trials of a search in a storage that many processes share: which wait, which run, which have ended."""

from pathlib import Path
from typing import NamedTuple

import optuna
from filelock import FileLock
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.errors import UserError
from benchmarks.training.seeds import stream_seed
from benchmarks.tuning import ledger
from benchmarks.tuning.heartbeat import Working, worker_name, works
from benchmarks.tuning.ledger import Line
from benchmarks.tuning.plan import last_trial, plan
from benchmarks.tuning.study import Cell, StudyConfig

DEATHS = 3  # of processes that a trial may outlive; with the next one it counts as failed
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class Attempt(NamedTuple):
    """A trial at which this process works."""

    trial: Trial
    working: Working  # to be closed at the end

    @property
    def number(self) -> int:
        """Of the trial in its search."""
        return self.trial.user_attrs["trial"]


class Queue:
    """The trials of one search.

    A trial keeps its number and its parameters. It takes another attempt, which is another of Optuna's trials, when
    the process of the one before died or was told to stop. Attempts change hands under a lock in the study's folder,
    which all workers share.
    """

    def __init__(self, study: StudyConfig, cell: Cell) -> None:
        self.study, self.cell = study, cell
        self.ledger = study.folder / "ledger.jsonl"
        self.lock = FileLock(study.folder / "queue.lock")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with self.lock:
            self.search = optuna.create_study(
                storage=open_storage(study),
                study_name=f"{study.name}/{cell.name}",
                direction="maximize",
                load_if_exists=True,
                pruner=_pruner(study.pruning),
            )

    def fill(self) -> None:
        """Queue every trial that is known by now and not queued yet, and again those whose process died."""
        with self.lock:
            for attempt in self.search.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
                if not works(self._mark(attempt.number), attempt.user_attrs.get("worker", "")):
                    self._settle(attempt)
            latest = self.latest()
            planned = plan(self.study, self.cell)
            ended = [attempt for attempt in latest.values() if attempt.state.is_finished()]
            if not self.cell.baseline and len(ended) >= len(planned):
                planned.append(last_trial(self.cell, ledger.read(self.ledger)))
            for number, trial in enumerate(planned):
                if number not in latest:
                    attrs = {"augmentation_off": trial.augmentation_off, "declared": trial.declared}
                    self.search.enqueue_trial(trial.params, {"trial": number, "deaths": 0, **attrs})

    def latest(self) -> dict[int, FrozenTrial]:
        """Each queued trial's last attempt, by the trial's number."""
        return {attempt.user_attrs["trial"]: attempt for attempt in self.search.get_trials(deepcopy=False)}

    def count(self, *states: TrialState) -> int:
        """Trials whose last attempt is in one of these states."""
        return sum(attempt.state in states for attempt in self.latest().values())

    def claim(self) -> Attempt | None:
        """The next trial that waits, now at work in this process; None if there is none."""
        with self.lock:
            waiting = self.search.get_trials(deepcopy=False, states=[TrialState.WAITING])
            if not waiting:
                return None
            number, off = (waiting[0].user_attrs[key] for key in ("trial", "augmentation_off"))
            # chooses with TPE only: a quasi-random trial has all its parameters already
            self.search.sampler = TPESampler(seed=stream_seed(self.study.seed, "tpe", self.cell.name, number))
            trial = self.search.ask(self.cell.loss_space if off else self.cell.space)
            trial.set_user_attr("worker", worker_name())
            return Attempt(trial, Working(self._mark(trial.number)))

    def end(self, line: Line) -> None:
        """Write the ledger, then the storage: what is in the ledger has happened."""
        ledger.append(self.ledger, line)
        self._tell(line)
        if not self.count(TrialState.WAITING, TrialState.RUNNING):
            self.fill()  # a method's last trial

    def give_back(self, attempt: Attempt) -> None:
        """Let another process work at the trial, as this one was told to stop."""
        with self.lock:
            self._again(self.search.get_trials(deepcopy=False)[attempt.trial.number], "was told to stop", died=False)

    def _settle(self, attempt: FrozenTrial) -> None:
        """End an attempt whose process died: as the ledger says, where it died between ledger and storage."""
        for line in ledger.read(self.ledger):
            if (line["cell"], line["attempt"]) == (self.cell.name, attempt.number):
                self._tell(line)
                return
        self._again(attempt, "died", died=True)

    def _again(self, attempt: FrozenTrial, what: str, died: bool) -> None:
        attrs = {**attempt.user_attrs, "deaths": attempt.user_attrs["deaths"] + died}
        worker = attrs.pop("worker", "unknown")
        is_latest = self.latest()[attrs["trial"]].number == attempt.number
        if is_latest and attrs["deaths"] <= DEATHS:
            self.search.enqueue_trial({**attempt.system_attrs["fixed_params"], **attempt.params}, attrs)
        line = ledger.entry(
            self.study.name, self.cell.name, attempt, [], "failed", error=f"the process {worker} {what}", worker=worker
        )
        ledger.append(self.ledger, line)
        self._tell(line)

    def _tell(self, line: Line) -> None:
        value = line["score"] if line["outcome"] == "complete" else None
        self.search.tell(line["attempt"], value, STATES[line["outcome"]])

    def _mark(self, attempt: int) -> Path:
        return self.study.folder / "running" / f"{self.cell.name.replace('/', '.')}.{attempt}"


def open_storage(study: StudyConfig) -> BaseStorage:
    """The study's database, or the journal in its folder.

    Raises:
        UserError: if the database cannot be reached.
    """
    if study.storage is None:
        path = study.folder / "journal.log"
        lock = FileLock(f"{path}.lock")  # Optuna's own outlives a process that is killed, by half a minute
        return JournalStorage(JournalFileBackend(str(path), lock))  # type: ignore[arg-type]  # it asks for no more
    try:
        return RDBStorage(study.storage, engine_kwargs={"pool_pre_ping": True})
    except (ImportError, SQLAlchemyError) as error:
        url = study.storage.rpartition("@")[2]  # without the password
        raise UserError(f"storage=...{url} cannot be used: {str(error).strip().splitlines()[0]}") from error


def _pruner(name: str | None) -> BasePruner:
    """Judges a trial by the mean over its folds so far: at the first rung one whole training has ended."""
    if name == "median":
        return MedianPruner(n_startup_trials=4)
    if name == "successive_halving":
        return SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
    return NopPruner()
