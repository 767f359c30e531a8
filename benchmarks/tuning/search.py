"""Run the trials of a study until none waits."""

import sys
from collections.abc import Sequence

from optuna.trial import TrialState
from tqdm import tqdm

from benchmarks.jobs.executors import Resources, run_all
from benchmarks.tuning import ledger
from benchmarks.tuning.queue import Queue
from benchmarks.tuning.study import Cell, StudyConfig, trial_config
from benchmarks.tuning.summary import write_best
from benchmarks.tuning.trial import Turn, work


def run_trials(study: StudyConfig, cells: Sequence[Cell]) -> None:
    """Work at the trials that wait until none does."""
    queues = [Queue(study, cell) for cell in in_turn(cells)]
    path = study.folder / "ledger.jsonl"
    _, options = trial_config(study, cells[0], {})
    resources = Resources(options.device, options.threads, options.per_gpu)
    total = sum(cell.trials for cell in cells)
    with tqdm(total=total, desc=f"trials of {study.name}", dynamic_ncols=True, disable=options.quiet) as progress:
        while True:
            for queue in queues:
                queue.fill()
            turns = [Turn(study, queue.cell) for queue in queues for _ in range(queue.count(TrialState.WAITING))]
            if turns:  # a method's last trial waits only when the others have ended
                turns += [Turn(study, queue.cell) for queue in queues if not queue.cell.baseline]
            before = ledger.read(path)
            progress.update(ledger.count(before) - progress.n)
            for outcome in run_all(study.engine, work, turns, study.workers, resources):
                if outcome.error is not None:
                    progress.write(f"{turns[outcome.task].cell.name}: {outcome.error.strip()}", file=sys.stderr)
                progress.update(ledger.count(ledger.read(path)) - progress.n)
                write_best(study, cells)
            if len(ledger.read(path)) == len(before):  # nothing waits, or nothing can be done
                return


def in_turn(cells: Sequence[Cell]) -> list[Cell]:
    """The baselines first and again last, with more trials: the others share their trainings."""
    return sorted(cells, key=lambda cell: {"none": 0, "none+": 2}.get(cell.method, 1))
