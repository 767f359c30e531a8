"""The searches of a study, and the configuration of their trials."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from ..config.compose import RunConfig, RunOptions, compose
from ..errors import UserError
from ..runs.checked_json import damaged
from . import ledger
from .space import Space, contains, declared_values, ends, read_space
from .study import StudyConfig

QUICK_TRUNK = "trunk=small_cnn"  # to check only loss and method


@dataclass(frozen=True)
class Cell:
    """One search: a loss with a method, or the baseline loss alone."""

    loss: str
    method: str  # none+: the baseline with more trials
    trials: int
    loss_space: Space
    method_space: Space
    declared: dict[str, Any]  # the parameters' values in the configs

    @property
    def name(self) -> str:
        return f"{self.loss}/{self.method}"

    @property
    def baseline(self) -> bool:
        return self.method in ("none", "none+")

    @property
    def space(self) -> Space:
        return {**self.loss_space, **self.method_space}


def list_cells(study: StudyConfig) -> list[Cell]:
    """The searches of a study: per loss the baseline, each method, and the baseline with more trials.

    Raises:
        UserError: for a missing or invalid space, an unknown name or key, a method that does not support its loss, or a
            range whose ends the loss or the method refuses.
    """
    cells: dict[str, Cell] = {}
    for comparison in study.comparisons:
        methods = [method for method in comparison.methods if method != "none"]
        found = [_cell(study, comparison.loss, method) for method in ("none", *methods)]
        if methods and study.plus_trials > study.trials:
            found.append(replace(found[0], method="none+", trials=study.plus_trials))
        cells |= {cell.name: cell for cell in found}
    for cell in cells.values():  # after all names, because it imports torch
        if cell.method != "none+":
            _check(study, cell)
    return list(cells.values())


def _cell(study: StudyConfig, loss: str, method: str) -> Cell:
    spaces = read_space("loss", loss), {} if method == "none" else read_space("method", method)
    cell = Cell(loss, method, study.trials, *spaces, declared={})
    return replace(cell, declared=declared_values(cell.space, trial_config(study, cell, {})[0]))


def _check(study: StudyConfig, cell: Cell) -> None:
    """Build the loss and the method with their declared values, and at both ends of their ranges."""
    from ..training.check import check

    check(trial_config(study, cell, {})[0])
    quick = _composed((QUICK_TRUNK,))[0].trunk
    own = cell.loss_space if cell.baseline else cell.method_space  # the baseline's cell checks the loss
    for end, words in enumerate(("lowest", "highest")):
        at_end, _ = trial_config(study, cell, {key: ends(distribution)[end] for key, distribution in own.items()})
        try:
            check(replace(at_end, trunk=quick))
        except UserError as error:
            raise UserError(f"the search space of {cell.name} at its {words} values: {error}") from error


def trial_config(
    study: StudyConfig, cell: Cell, params: dict[str, Any], augmentation_off: bool = False
) -> tuple[RunConfig, RunOptions]:
    """The configuration of a trial's trainings, for the first fold; the test set is never scored."""
    method = "none" if cell.baseline or augmentation_off else cell.method
    names = [f"data={study.data}", f"loss={cell.loss}", f"method={method}"]
    settings = [f"{key}={json.dumps(value)}" for key, value in params.items()]
    unseen = ["protocol.test_scoring=never", "protocol.keep_embeddings=false"]
    config, options = _composed((*names, "keep=nothing", *study.overrides, *settings, *unseen))
    return (
        replace(config, fold=study.folds[0], seed=study.seed),
        replace(options, runs=str(study.folder / "trials")),
    )


def read_trials(study: StudyConfig, cells: Sequence[Cell]) -> list[ledger.Line]:
    """The lines of the ledger.

    Raises:
        UserError: the ledger is damaged, or parameters of one of the searches lie outside its space.
    """
    lines = ledger.read(study.ledger)
    spaces = {cell.name: cell.space for cell in cells}
    for line in lines:
        space = spaces.get(line["cell"], {})
        for key, value in line["params"].items() if space else ():
            if key not in space or not contains(space[key], value):
                where = f"{line['cell']}, trial {line['trial']}"
                raise damaged(study.ledger, f"{where}: {key}={value!r} is not in the search space")
    return lines


@lru_cache(maxsize=512)  # composing takes tens of milliseconds
def _composed(overrides: tuple[str, ...]) -> tuple[RunConfig, RunOptions]:
    return compose(overrides)
