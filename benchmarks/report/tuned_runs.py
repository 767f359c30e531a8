"""Attribution of tuned runs to the searches that found their parameters."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..errors import UserError
from ..runs.reader import Run
from ..runs.schema import BASELINE, EXTENDED_BASELINE
from .study import Study, TunedCell


def by_search(runs: Iterable[Run], studies: Mapping[str, Study]) -> list[Run]:
    """The runs, each tuned one under the method whose search found its parameters.

    The best trial of a method's search may have the augmentation off, and that of ``none+`` may be the one of ``none``:
    then the same training is the outcome of two searches, and is returned once for each.

    Raises:
        UserError: a tuned run whose study is not there, or that is no search's best trial.
    """
    found, problems = [], []
    for run in runs:
        if run.tuned is None:
            found.append(run)
        elif run.tuned.study not in studies:
            problems.append(
                f"{run.path} was tuned by study {run.tuned.study}, which is not among the studies beside the runs: "
                "without its ledger, equal budgets cannot be checked"
            )
        else:
            searches = list(_searches(run, studies[run.tuned.study]))
            found += [
                replace(run, method=cell.method, augmentation_off=cell.best is not None and cell.best.augmentation_off)
                for cell in searches
            ]
            if not searches:
                problems.append(
                    f"{run.path} says that it takes trial {run.tuned.trial} of study {run.tuned.study}, but no search "
                    f"of {run.loss} there has that trial as its best with these parameters"
                )
    if problems:
        raise UserError("\n".join(problems))
    return found


def _searches(run: Run, study: Study) -> Iterator[TunedCell]:
    assert run.tuned is not None
    for cell in study.of(run.loss):
        if cell.best is None or cell.best.trial != run.tuned.trial:
            continue
        without = cell.method in (BASELINE, EXTENDED_BASELINE) or cell.best.augmentation_off
        if run.method == (BASELINE if without else cell.method) and all(
            value_at(run.config, key) == value for key, value in cell.best.params.items()
        ):
            yield cell


def value_at(config: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key; None where there is none."""
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
