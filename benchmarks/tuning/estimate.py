"""What a study takes, told before it starts."""

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.jobs.estimate import Estimate, estimate
from benchmarks.jobs.runner import TrainingJob
from benchmarks.tuning import ledger
from benchmarks.tuning.study import Cell, StudyConfig, trial_config
from benchmarks.tuning.summary import images_of


def budgets(study: StudyConfig, cells: Sequence[Cell]) -> str:
    """A table of the searches: trials, and the images that their trainings draw at most."""
    rows = [f"study {study.name}: {len(cells)} searches, {sum(cell.trials for cell in cells)} trials"]
    rows += [
        f"  {cell.name:<36}{cell.trials:>6} trials{cell.trials * sum(images_of(study, cell)):>18,} images"
        for cell in cells
    ]
    return "\n".join(rows)


def estimate_study(study: StudyConfig, cells: Sequence[Cell]) -> Estimate | None:
    """Of the trials that have not ended, a training that searches share counted once, none pruned or out of patience.

    None if all have.

    Raises:
        UserError: if the data cannot be read.
    """
    lines = ledger.read(study.folder / "ledger.jsonl")
    tasks = []
    for cell in cells:
        config, options = trial_config(study, cell, {})
        ended = {line["trial"] for line in lines if line["cell"] == cell.name}
        for number in range(_shared(study, cell), cell.trials):
            if number not in ended:  # a seed of its own stands for a trial's parameters
                stands = replace(config, seed=study.seed + 1 + number)
                tasks += [TrainingJob(replace(stands, fold=fold), options) for fold in study.folds]
    return estimate(tasks, study.workers, study.engine) if tasks else None


def _shared(study: StudyConfig, cell: Cell) -> int:
    """Trials at the beginning of a search whose trainings the baseline's does."""
    if cell.method == "none+" and study.sampler == "quasi_random":
        return study.trials
    return int(cell.method != "none")  # the loss as declared, without augmentation
