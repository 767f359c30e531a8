"""The parameters of each trial of a search: declared, quasi-random, or proposed by Optuna's TPE."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import MedianPruner, NopPruner
from optuna.samplers import QMCSampler, TPESampler
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from ..errors import UserError
from ..training.seeds import stream_seed
from .cells import Cell, read_trials
from .ledger import Line, best, complete
from .space import Space
from .study import StudyConfig

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
MEDIAN_OF = 4  # complete trials at least, before the median pruner gives one up


class Planned(NamedTuple):
    """A trial before it runs."""

    params: dict[str, Any]  # by config key; empty: TPE proposes them when the trial starts
    augmentation_off: bool = False
    declared: bool = False  # the values written in the configs; such a trial, or one that is off, is never pruned


def plan(study: StudyConfig, cell: Cell) -> list[Planned]:
    """The trials of a search in order, except the last one of a method, which :func:`last_trial` gives.

    A baseline begins with its declared values. A method begins with the same and the augmentation off, then its own
    and the loss's declared values; its last trial is off again. All others follow a scrambled Sobol sequence, seeded
    by the study, the loss and the method, or (``sampler: tpe``) what the ended trials suggest. ``none+`` continues
    the sequence of ``none``.

    The trials depend only on the study's seed and their number, with TPE also on the trials that had ended.
    """
    values = cell.declared
    loss_values = {key: values[key] for key in cell.loss_space}
    first = [Planned(loss_values, augmentation_off=not cell.baseline, declared=True)]
    if not cell.baseline:
        first.append(Planned(values, declared=True))
    sampled = cell.trials - len(first) - (not cell.baseline)
    if study.sampler == "tpe":
        return first + [Planned({})] * sampled
    seed = stream_seed(study.seed, "search", cell.loss, "none" if cell.baseline else cell.method)
    return first + [Planned(params) for params in quasi_random(cell.space, values, sampled, seed)]


def last_trial(cell: Cell, lines: Iterable[Line]) -> Planned:
    """The last trial of a method: augmentation off, the loss's parameters those of the best trial that had it on.

    It shows what the augmentation adds to the loss at the loss's best parameters. Without such a trial the loss has
    its declared values.

    Args:
        lines: of the ledger.
    """
    chosen = best(line for line in complete(lines, cell.name) if not line["augmentation_off"])
    values = cell.declared if chosen is None else chosen["params"]
    return Planned({key: values[key] for key in cell.loss_space}, augmentation_off=True)


def quasi_random(space: Space, example: Mapping[str, Any], count: int, seed: int) -> list[dict[str, Any]]:
    """The first ``count`` points of a scrambled Sobol sequence; fewer points are the beginning of more.

    Args:
        example: any point of the space.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        sampler = QMCSampler(qmc_type="sobol", scramble=True, seed=seed)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    search = optuna.create_study(sampler=sampler)
    # Optuna's sampler takes its space from the first trial
    search.add_trial(optuna.create_trial(params=dict(example), distributions=space, value=0.0))
    return [search.ask(space).params for _ in range(count)]


def start(study: StudyConfig, cell: Cell, number: int, planned: Planned, lines: Sequence[Line]) -> optuna.Trial:
    """Trial ``number`` with all its parameters, in an Optuna study in memory that holds the trials in ``lines``."""
    sampler = TPESampler(seed=stream_seed(study.seed, "tpe", cell.name, number))
    search = as_optuna(study, cell, lines, sampler=sampler)
    if planned.params:
        search.enqueue_trial(planned.params)
    return search.ask(cell.loss_space if planned.augmentation_off else cell.space)


def as_optuna(study: StudyConfig, cell: Cell, lines: Iterable[Line], **created: Any) -> optuna.Study:
    """A search as an Optuna study: the trials of the ledger in its order.

    Args:
        created: arguments of ``optuna.create_study``. A storage that already holds the first lines gets the others.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    search = optuna.create_study(
        study_name=f"{study.name}/{cell.name}",
        direction="maximize",
        load_if_exists=True,
        pruner=MedianPruner(n_startup_trials=MEDIAN_OF) if study.pruning else NopPruner(),
        **created,
    )
    of_cell = [line for line in lines if line["cell"] == cell.name]
    for line in of_cell[len(search.get_trials(deepcopy=False)) :]:
        search.add_trial(
            optuna.create_trial(
                state=STATES[line["outcome"]],
                params=line["params"],
                distributions={key: cell.space[key] for key in line["params"]},
                value=line["score"],
                intermediate_values=dict(enumerate(running_means(line["folds"]), start=1)),
                user_attrs={"trial": line["trial"], "augmentation_off": line["augmentation_off"]},
            )
        )
    return search


def running_means(folds: Sequence[Mapping[str, Any]]) -> list[float]:
    """The mean score of the first 1, 2, ... folds."""
    return [sum(fold["score"] for fold in folds[:count]) / count for count in range(1, len(folds) + 1)]


def copy_to_storage(study: StudyConfig, cells: Sequence[Cell]) -> None:
    """Add the trials that ``study.storage`` does not hold yet, for optuna-dashboard.

    Raises:
        UserError: the database cannot be used.
    """
    if study.storage is None:
        return
    try:
        for cell in cells:
            as_optuna(study, cell, read_trials(study, cells), storage=study.storage)
    except (ImportError, SQLAlchemyError) as error:
        url = study.storage.rpartition("@")[2]  # without the password
        raise UserError(f"storage=...{url} cannot be used: {str(error).strip().splitlines()[0]}") from error
