"""Budget and estimated duration of a study, before it starts."""

from collections.abc import Sequence
from dataclasses import replace

from ..jobs.estimate import Estimate, estimate
from ..jobs.runner import TrainingJob
from . import ledger
from .cells import Cell, read_trials, trial_config
from .study import StudyConfig
from .summary import images_of


def budgets(study: StudyConfig, cells: Sequence[Cell]) -> str:
    """A table of the searches: trials, and the most images that their trainings draw."""
    rows = [f"study {study.name}: {len(cells)} searches, {sum(cell.trials for cell in cells)} trials"]
    rows += [
        f"  {cell.name:<36}{cell.trials:>6} trials{cell.trials * sum(images_of(study, cell)):>18,} images"
        for cell in cells
    ]
    return "\n".join(rows)


def estimate_study(study: StudyConfig, cells: Sequence[Cell]) -> Estimate | None:
    """The estimate for the trials without a line in the ledger; None if there are none.

    A training that searches share counts once; pruning and patience are ignored.

    Raises:
        UserError: the data cannot be read.
    """
    lines = read_trials(study, cells)
    tasks = []
    for cell in cells:
        config, options = trial_config(study, cell, {})
        ended = ledger.ended(lines, cell.name)
        for number in range(_shared(study, cell), cell.trials):
            if number not in ended:  # another seed stands in for other parameters, which cost about the same
                sample = replace(config, seed=study.seed + 1 + number)
                tasks += [TrainingJob(replace(sample, fold=fold), options) for fold in study.folds]
    return estimate(tasks, study.workers) if tasks else None


def _shared(study: StudyConfig, cell: Cell) -> int:
    """The number of first trials whose trainings the baseline's search does."""
    if cell.method == "none+" and study.sampler == "quasi_random":
        return study.trials
    return int(cell.method != "none")  # declared values, augmentation off
