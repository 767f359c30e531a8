"""How the time is divided: the pace of short trainings, the trials of the search, and what is left for the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ...config.lists import Comparison
from ...errors import UserError
from ...jobs.estimate import Pace, kind_of, paces_of_finished
from ...jobs.executors import Resources, default_workers
from ...jobs.runner import TrainingJob, amount_of, train_all
from ...training.device import choose_device
from ...training.train import read_data
from ..cells import Cell, list_cells, trial_config
from ..study import MIN_TRIALS, StudyConfig

START_SECONDS = 6.0  # in which worker processes start
FIXED_SECONDS = 0.7  # of a training: reading its data, building and writing
REPORT_SECONDS = 20.0  # of the report and the exported model, without the training of the latter
MARGIN = 1.15  # by which a training may last longer than the pace says: other trainings run beside it
SEARCHED = 0.55  # share of the time for the search; the rest is for the final runs
ENOUGH = 8  # trials per search, before losses are left out or trainings shortened
MAX_TRIALS = 50  # per search
FEWEST_FINAL = 6  # trainings


class Division(NamedTuple):
    """The search that fits into its share of the time."""

    comparisons: list[Comparison]
    epochs: int
    trials: int  # per search
    seconds: float  # that it takes by the measured pace


def short_trainings(study: StudyConfig, cells: Sequence[Cell], runs: Path) -> list[TrainingJob]:
    """A short training of each search, after which its pace is known: three epochs of a few steps."""
    jobs = []
    for cell in cells:
        config, options = trial_config(study, cell, {})
        steps = min(20, config.protocol.iterations(10**9) if config.protocol.iterations_per_epoch else 20)
        protocol = replace(config.protocol, epochs=3, iterations_per_epoch=steps, warmup_epochs=0)
        jobs.append(TrainingJob(replace(config, protocol=protocol), replace(options, runs=str(runs), quiet=True)))
    return jobs


class Paces:
    """Seconds of a training of each search, by what short ones took.

    Args:
        study: on the data.
        cells: the searches.
        runs: directory for the short trainings; finished ones are not repeated.
        until: time of ``time.monotonic()`` at which they are ended; losses with an unknown pace are then left out.

    Attributes:
        comparisons: of the study, those of a known pace.

    Raises:
        UserError: one of them failed, or none was finished in the time.
    """

    def __init__(self, study: StudyConfig, cells: Sequence[Cell], runs: Path, until: float | None = None) -> None:
        jobs = short_trainings(study, cells, runs)
        print(f"pace: {len(jobs)} short trainings, one of each search", flush=True)
        if failed := train_all(jobs, study.workers, until=until):
            raise UserError(f"{failed} of {len(jobs)} short trainings failed, so nothing can be chosen")
        options = jobs[0].options
        known = paces_of_finished(runs, choose_device(options.device).type)
        self.workers = default_workers(study.workers, Resources(options.device, options.threads, options.per_gpu))
        kinds = {cell.name: kind_of(job.config.identity()) for cell, job in zip(cells, jobs, strict=True)}
        self.paces: Mapping[str, Pace] = {name: known[kind] for name, kind in kinds.items() if kind in known}
        self.study, self.cells = study, {cell.name: cell for cell in cells if cell.name in self.paces}
        self.comparisons = [one for one in study.comparisons if all(name in self.paces for name in _names([one]))]
        if not self.comparisons:
            raise UserError("not even short trainings ended in a third of the time: give more minutes")

    def seconds(self, cell: Cell, epochs: int) -> float:
        """Of one training of this search, as long as ``epochs``."""
        config, _ = trial_config(self.study, cell, {})
        amount = amount_of(replace(config, protocol=replace(config.protocol, epochs=epochs)), read_data(config)[1])
        pace = self.paces[cell.name]
        return FIXED_SECONDS + MARGIN * (amount.steps * pace.step + amount.scored * pace.score)

    def a_trial_of_each(self, comparisons: Sequence[Comparison], epochs: int) -> float:
        """Seconds in which all searches of these comparisons carry out one trial, with all workers."""
        seconds = sum(self.seconds(self.cells[name], epochs) for name in _names(comparisons))
        return seconds * len(self.study.folds) / self.workers


def _names(comparisons: Sequence[Comparison]) -> list[str]:
    """Of the searches: the baseline is always searched."""
    return [f"{one.loss}/{method}" for one in comparisons for method in dict.fromkeys(["none", *one.methods])]


def divide(paces: Paces, seconds: float, whole_shortlist: bool, fixed_epochs: bool) -> Division:
    """The search that fits into its share of ``seconds``, which are those of search and final runs together.

    Trainings have all their epochs, half or a third of them, and the searches are those of the whole shortlist or of
    its first two losses: of these, in this order, the first combination that allows :data:`ENOUGH` trials per search,
    or else the last with as many as fit.

    Args:
        paces: measured.
        seconds: for search and final runs.
        whole_shortlist: whether no loss may be left out.
        fixed_epochs: whether trainings may not be shortened.

    Raises:
        UserError: not even the smallest search fits; the message says how many minutes would do.
    """
    config, _ = trial_config(paces.study, next(iter(paces.cells.values())), {})
    whole, all_of_it = config.protocol.epochs, paces.comparisons
    if whole_shortlist and len(all_of_it) < len(paces.study.comparisons):
        raise UserError("short trainings of some losses did not end in a third of the time: give more minutes")
    lengths = [whole] if fixed_epochs else sorted({whole, -(-whole // 2), -(-whole // 3)}, reverse=True)
    some = all_of_it if whole_shortlist else all_of_it[:2]
    choices = [(all_of_it, epochs) for epochs in lengths[:2]] + [(some, epochs) for epochs in lengths[1:] or lengths]
    for_search = SEARCHED * seconds - START_SECONDS
    for comparisons, epochs in choices:
        each = paces.a_trial_of_each(comparisons, epochs)
        trials = min(MAX_TRIALS, int(for_search / each))
        if trials >= ENOUGH or (comparisons, epochs) == choices[-1]:
            break
    if trials < MIN_TRIALS or seconds < for_search + 2 * START_SECONDS:
        needed = (MIN_TRIALS * each + START_SECONDS) / SEARCHED - seconds
        raise UserError(
            f"the smallest search, {MIN_TRIALS} trials of {epochs} epochs for "
            f"{' and '.join(comparison.loss for comparison in comparisons)}, takes {MIN_TRIALS * each:.0f} s here, and "
            f"about as long is needed after it: give about {max(1.0, needed / 60):.1f} minutes more, or a shorter "
            "shortlist with comparisons=[...]"
        )
    return Division(list(comparisons), epochs, trials, trials * each)


def searched(study: StudyConfig, division: Division) -> tuple[StudyConfig, list[Cell]]:
    """The study of a division, and its searches."""
    overrides = [*study.overrides, f"protocol.epochs={division.epochs}"]
    found = replace(study, comparisons=division.comparisons, trials=division.trials, overrides=overrides)
    return found, list_cells(found)
