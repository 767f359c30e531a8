"""Final runs: the best parameters of each search of a study, trained over folds and seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ..config.schema import Tuned
from ..errors import UserError
from ..jobs.raw import raw_jobs
from ..jobs.runner import TrainingJob
from . import ledger
from .cells import Cell, list_cells, read_trials, trial_config
from .ledger import Line
from .study import FinalConfig, StudyConfig
from .summary import best_trials, why_no_score


class Row(NamedTuple):
    """A search's best parameters, to be trained over all folds and seeds."""

    cell: Cell
    chosen: Line  # of the ledger
    tasks: list[TrainingJob]

    def __str__(self) -> str:
        off = ", augmentation off" if self.chosen["augmentation_off"] else ""
        return f"{self.cell.name}: {len(self.tasks)} trainings with trial {self.chosen['trial']}{off}"


def list_rows(study: StudyConfig, final: FinalConfig) -> list[Row]:
    """The trainings for every search of the study.

    Searches with the same best parameters share trainings: ``none+`` with ``none``, or a method that is best off.

    Raises:
        UserError: a search has trials left or no score, or a seed is the one of the trials.
    """
    if study.seed in final.seeds:
        raise UserError(f"seeds={final.seeds} holds {study.seed}, the seed of the trials, which chose: use others")
    cells = list_cells(study)
    lines = read_trials(study, cells)
    best = best_trials(cells, lines)
    rows = []
    for cell in cells:
        ended = len(ledger.ended(lines, cell.name))
        if ended < cell.trials:
            raise UserError(
                f"{cell.name} has {ended} of {cell.trials} trials: "
                f"end the search first, pml-aug tune {study.name} runs={study.runs}"
            )
        if cell.name not in best:
            raise UserError(f"{cell.name}: {why_no_score(cell, lines)}; use another space, protocol or method")
        rows.append(Row(cell, best[cell.name], list_tasks(study, final, cell, best[cell.name])))
    return rows


def list_raw(rows: Sequence[Row]) -> list[TrainingJob]:
    """The scoring of the raw features, for every fold of the rows; none where the trunk is trained."""
    folds = sorted({task.config.fold for row in rows for task in row.tasks})
    return raw_jobs(rows[0].tasks[0], folds)


def list_tasks(study: StudyConfig, final: FinalConfig, cell: Cell, chosen: Mapping[str, Any]) -> list[TrainingJob]:
    """The trainings of a search's best parameters."""
    config, options = trial_config(study, cell, chosen["params"], chosen["augmentation_off"])
    folds = study.folds if final.folds is None else final.folds
    config = replace(
        config,
        protocol=replace(config.protocol, test_scoring="once", keep_embeddings=True),
        tuned=Tuned(study.name, chosen["trial"]),
    )
    options = replace(options, runs=final.runs)
    return [TrainingJob(replace(config, fold=fold, seed=seed), options) for seed in final.seeds for fold in folds]
