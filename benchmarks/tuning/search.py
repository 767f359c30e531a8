"""Run the trials of a study until all have ended."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from tqdm import tqdm

from ..jobs.executors import Resources, run_all
from . import ledger
from .cells import Cell, read_trials, trial_config
from .plan import plan
from .study import StudyConfig
from .summary import write_best
from .trial import TrialJob, run_trial

MAX_RESTARTS = 3  # of a trial whose worker process died; then it has failed


def run_trials(study: StudyConfig, cells: Sequence[Cell], until: float | None = None) -> None:
    """Run every trial that has no line in the ledger; those that other commands run are waited for at last.

    Args:
        study: the study.
        cells: its searches.
        until: time of ``time.monotonic()`` at which the trials end that still run. They leave no line, and the searches
            advance side by side, so that they have nearly as many trials when they are cut off; None: none is ended.
    """
    jobs = list(list_trials(study, cells))
    if until is not None:
        jobs.sort(key=lambda job: job.number)
    _, options = trial_config(study, cells[0], {})
    resources = Resources(options.device, options.threads, options.per_gpu)
    crashes: Counter[tuple[str, int]] = Counter()
    wait = False
    with tqdm(total=len(jobs), desc=f"trials of {study.name}", dynamic_ncols=True, disable=options.quiet) as progress:
        while left := _without_line(jobs, read_trials(study, cells)):
            progress.update(len(jobs) - len(left) - progress.n)
            left = [job._replace(wait=wait) for job in left]
            for outcome in run_all(study.executor, run_trial, left, study.workers, resources, until):
                if outcome.error is not None:
                    job, error = left[outcome.job], outcome.error.strip().splitlines()[-1]
                    progress.write(f"{job.cell.name}, trial {job.number}: {error}", file=sys.stderr)
                    crashes[job.cell.name, job.number] += 1
                    if crashes[job.cell.name, job.number] > MAX_RESTARTS:
                        _give_up(job, error)
                lines = read_trials(study, cells)
                progress.update(len(jobs) - len(_without_line(jobs, lines)) - progress.n)
                write_best(study, cells, lines)
            if until is not None and time.monotonic() >= until:
                return
            wait = len(_without_line(jobs, lines)) == len(left)  # other commands run what is left


def list_trials(study: StudyConfig, cells: Sequence[Cell]) -> Iterator[TrialJob]:
    """The trials in the order in which they start: those first whose trainings others share, last those that wait."""
    for cell in sorted(cells, key=lambda cell: {"none": 0, "none+": 2}.get(cell.method, 1)):
        for number, planned in enumerate(plan(study, cell)):
            yield TrialJob(study, cell, number, planned)
    for cell in cells:
        if not cell.baseline:
            yield TrialJob(study, cell, cell.trials - 1, planned=None)


def _without_line(jobs: Sequence[TrialJob], lines: Sequence[ledger.Line]) -> list[TrialJob]:
    ended = {(line["cell"], line["trial"]) for line in lines}
    return [job for job in jobs if (job.cell.name, job.number) not in ended]


def _give_up(job: TrialJob, error: str) -> None:
    """Record a trial that ended its process every time."""
    off = job.planned is None or job.planned.augmentation_off
    params = {} if job.planned is None else job.planned.params
    line = ledger.entry(job.study.name, job.cell.name, job.number, params, off, [], "failed", ledger.now(), error)
    ledger.append(job.study.ledger, line)
