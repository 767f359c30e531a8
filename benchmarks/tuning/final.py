"""Final runs: the best parameters of each search of a study, trained over folds and seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

from benchmarks.config.compose import RunOptions, parse, split_own
from benchmarks.config.lists import check_listed
from benchmarks.config.schema import Tuned
from benchmarks.config.typed import typed
from benchmarks.errors import UserError, unknown
from benchmarks.jobs.runner import TrainingJob
from benchmarks.tuning import ledger
from benchmarks.tuning.ledger import Line
from benchmarks.tuning.study import Cell, StudyConfig, list_cells, read_study, trial_config
from benchmarks.tuning.summary import best_trials, why_no_score


@dataclass
class FinalConfig:
    """Keys of the final runs in addition to those of their study."""

    runs: str  # folder that holds the study
    seeds: list[int] = field(default_factory=lambda: list(range(10)))
    folds: list[int] | None = None  # null: the study's
    out: str | None = None  # folder of the report; RUNS/report
    workers: int | None = None  # trainings at a time; null: one per core, or as many as the GPUs take
    executor: str = "local"  # or ray: the cluster that RAY_ADDRESS names, or else this machine

    def __post_init__(self) -> None:
        check_listed(seeds=self.seeds)
        if self.folds is not None:
            check_listed(folds=self.folds)


class Row(NamedTuple):
    """A search's best parameters, to be trained over all folds and seeds."""

    cell: Cell
    chosen: Line  # of the ledger
    tasks: list[TrainingJob]

    def __str__(self) -> str:
        off = ", augmentation off" if self.chosen["augmentation_off"] else ""
        return f"{self.cell.name}: {len(self.tasks)} trainings with trial {self.chosen['trial']}{off}"


def read_final(name: str, overrides: Sequence[str]) -> tuple[FinalConfig, list[str]]:
    """The configuration of the final runs, and overrides of each run that do not change its numbers.

    Raises:
        UserError: a key would change what was tuned, or a value has a wrong type.
    """
    own, options = ([key.name for key in fields(kind)] for kind in (FinalConfig, RunOptions))
    for override in parse(overrides):
        if override.key_or_group not in (*own, *options):
            raise UserError(
                unknown("key of final runs", override.key_or_group, (*own, *options))
                + "; everything else is as in the study"
            )
    values, rest = split_own(overrides, own)
    values.setdefault("runs", read_study(name, []).runs)
    final = typed(FinalConfig, values, f"final {name}: ")
    return final, rest


def list_rows(study: StudyConfig, final: FinalConfig) -> list[Row]:
    """The trainings for every search of the study.

    Searches with the same best parameters share trainings: ``none+`` with ``none``, or a method that is best off.

    Raises:
        UserError: a search has trials left or no score, or a seed is the one of the trials.
    """
    if study.seed in final.seeds:
        raise UserError(f"seeds={final.seeds} holds {study.seed}, the seed of the trials, which chose: use others")
    cells, lines = list_cells(study), ledger.read(study.ledger)
    best = best_trials(study, cells, lines)
    rows = []
    for cell in cells:
        ended = len(ledger.ended(lines, cell.name))
        if ended < cell.trials:
            raise UserError(
                f"{cell.name} has {ended} of {cell.trials} trials: "
                f"end the search first, python -m benchmarks tune {study.name} runs={study.runs}"
            )
        if cell.name not in best:
            raise UserError(f"{cell.name}: {why_no_score(cell, lines)}; use another space, protocol or method")
        rows.append(Row(cell, best[cell.name], list_tasks(study, final, cell, best[cell.name])))
    return rows


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
