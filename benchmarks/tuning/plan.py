"""Which parameters each trial of a search tries, as far as that is known beforehand."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import optuna
from optuna.exceptions import ExperimentalWarning

from benchmarks.training.seeds import stream_seed
from benchmarks.tuning.ledger import Line, best, complete
from benchmarks.tuning.space import Space
from benchmarks.tuning.study import Cell, StudyConfig


class Planned(NamedTuple):
    """A trial before it runs."""

    params: dict[str, Any]  # by config key; empty where the sampler chooses while the study runs
    augmentation_off: bool = False
    declared: bool = False  # the values written in the configs; such a trial, or one that is off, is never pruned


def plan(study: StudyConfig, cell: Cell) -> list[Planned]:
    """The trials of a search in order, but a method's last one, which :func:`last_trial` gives.

    A baseline begins with its declared values. A method begins with the same and the augmentation off, then its own
    and the loss's declared values; its last trial is off again. All others follow a scrambled Sobol sequence, seeded
    by the study and the loss and the method, or (``sampler: tpe``) what the trials before them suggest. ``none+``
    has the sequence of ``none`` and goes on with it.

    The trials depend on nothing but the study's seed and their number, with TPE also on what ended before them.
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
    """A method's last trial: the augmentation off, the loss as in the best trial that had it on.

    So the method's search holds what its augmentation adds to the loss that suits it. The loss is as declared if no
    trial before has a score.

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
        sampler = optuna.samplers.QMCSampler(qmc_type="sobol", scramble=True, seed=seed)
    search = optuna.create_study(sampler=sampler)
    # Optuna's sampler takes its space from the first trial
    search.add_trial(optuna.create_trial(params=dict(example), distributions=space, value=0.0))
    return [search.ask(space).params for _ in range(count)]
