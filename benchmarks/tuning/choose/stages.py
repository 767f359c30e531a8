"""The stages of a choice, each as long as its share of the time: search, final runs, and the model for use."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ...errors import UserError
from ...jobs.executors import Resources, default_workers
from ...jobs.runner import TrainingJob, train_all
from ...runs.schema import STUDY
from ...runs.writer import write_whole
from ...training.train import train
from ..cells import Cell, list_cells, read_trials, trial_config
from ..ledger import Line
from ..search import run_trials
from ..study import StudyConfig
from ..summary import best_trials, describe_study, write_best
from .budget import REPORT_SECONDS, SEARCHED, START_SECONDS, Paces, divide, searched
from .clock import Clock
from .decision import Decision
from .finalists import equal_trials, in_turn, list_finals, plan_finals, whole_seeds
from .fitting import fitting_batches, preparation
from .production import export_winner, on_all_classes
from .request import Request
from .state import State

FEWEST_TRIALS = 2  # the declared values without and with a method
PACE_AT_MOST = 0.35  # of the time that is left
OVERRUN = 1.15  # of the search's planned time, after which it is cut off


class Searched(NamedTuple):
    """A search that has ended."""

    study: StudyConfig
    cells: list[Cell]
    lines: list[Line]  # of the trials that count
    best: dict[str, Line]


def divide_time(request: Request, state: State, clock: Clock) -> tuple[StudyConfig, list[Cell]]:
    """The search that fits into the time, by the pace of short trainings; one that was begun is kept."""
    if state.fitting is None:
        state.fitting = [*fitting_batches(request), *preparation(request, request.study().folds[0])]
        state.save()
    study = request.study(state.fitting)
    if state.search is None:
        cells = list_cells(study)
        until = time.monotonic() + PACE_AT_MOST * clock.left
        paces = Paces(study, cells, Path(request.own.runs) / "pace", until)
        epochs = trial_config(study, cells[0], {})[0].protocol.epochs
        last = max(paces.seconds(cell, epochs) for cell in paces.cells.values())  # the winner's, on all classes
        fixed = any(text.startswith("protocol.epochs=") for text in request.training)
        rest = clock.left - REPORT_SECONDS - last - START_SECONDS
        state.search = divide(paces, rest, request.whole_shortlist, fixed)
        state.save()
    return searched(study, state.search)


def search(study: StudyConfig, cells: list[Cell], state: State, clock: Clock) -> Searched:
    """Run the trials, until the search's share of the time is over; of each search equally many count.

    Raises:
        UserError: too few trials of each search ended in the time.
    """
    assert state.search is not None
    if state.trials is None:
        share = SEARCHED * (clock.left - REPORT_SECONDS)
        _write_study(study, cells)
        run_trials(study, cells, until=time.monotonic() + max(share, OVERRUN * state.search.seconds + START_SECONDS))
        common, _ = equal_trials(cells, read_trials(study, cells))
        if common < FEWEST_TRIALS:
            raise UserError(
                f"the time for the search is over after {common} trials of each, but {FEWEST_TRIALS} are needed: "
                "repeat the command, which goes on from there"
            )
        state.trials = common
        state.save()
    cells = [replace(cell, trials=state.trials) for cell in cells]
    _, lines = equal_trials(cells, read_trials(study, cells))
    _write_study(study, cells)
    write_best(study, cells, lines)
    best = best_trials(cells, lines)
    return Searched(study, cells, lines, best)


def _write_study(study: StudyConfig, cells: Sequence[Cell]) -> None:
    study.folder.mkdir(parents=True, exist_ok=True)
    content = {**describe_study(study, cells), "trials": cells[0].trials}  # fewer where the search was cut off
    write_whole(study.folder / STUDY, (json.dumps(content, indent=1) + "\n").encode())


def plan_final_runs(found: Searched, state: State, clock: Clock) -> dict[str, list[TrainingJob]]:
    """The final runs that fit into the rest of the time, arm by arm; those that were begun are kept.

    None where no search has a score that counts.
    """
    config, options = trial_config(found.study, found.cells[0], {})
    if state.finals is None:
        workers = default_workers(found.study.workers, Resources(options.device, options.threads, options.per_gpu))
        seconds = [fold["seconds"] for line in found.lines for fold in line["folds"]]
        rest = clock.left - REPORT_SECONDS - START_SECONDS - max(seconds)
        state.finals = plan_finals(found.study, found.best, found.lines, config.protocol.num_folds, rest, workers)
        if not state.finals.arms:
            return {}
        state.save()
    return list_finals(found.study, found.cells, found.best, state.finals)


def train_finals(
    arms: Mapping[str, Sequence[TrainingJob]], workers: int | None, last: float, clock: Clock
) -> list[int]:
    """Train the final runs seed by seed, and return the seeds that are complete when the time is over.

    Args:
        arms: trainings of each finalist.
        workers: trainings at a time.
        last: seconds to be left for the winner's training on all classes.
        clock: of the command.

    Raises:
        UserError: not one is, or trainings failed.
    """
    jobs = in_turn(arms)
    if failed := train_all(jobs, workers, until=clock.end - REPORT_SECONDS - last):
        raise UserError(f"{failed} of {len(jobs)} final trainings failed; repeat the command, which tries them again")
    seeds = whole_seeds(arms)
    if not seeds or not all(job.is_done() for job in jobs if job.config.loss.is_raw):
        raise UserError("the time is over before one seed of the final runs: repeat the command, which goes on")
    return seeds


def report_names(arms: Mapping[str, Sequence[TrainingJob]], seeds: Sequence[int]) -> list[str]:
    """Names of the run directories that the report is about."""
    return [job.folder.name for job in in_turn(arms) if job.config.loss.is_raw or job.config.seed in seeds]


def keep_winner(
    request: Request, arms: Mapping[str, Sequence[TrainingJob]], decision: Decision
) -> tuple[TrainingJob, Path]:
    """The winner's training on all classes, and its exported model; of the raw features where nothing beats them."""
    own, kept = Path(request.own.runs), decision.winner or decision.raw
    name = kept.name.partition("/")[0]
    of_winner = arms[kept.name] if decision.winner else [job for job in in_turn(arms) if job.config.loss.name == name]
    job = on_all_classes(of_winner[0], kept, own / "winner")
    train(job.config, job.options)
    return job, export_winner(job, request, own / "model", job.options.allow)
