"""The report's numbers, from comparable runs. Scores are in points: fractions times 100."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .. import statistics
from ..runs.reader import Run
from ..runs.schema import BASELINE, EXTENDED_BASELINE, RULES, SOFTMAX, Task
from ..statistics import MARGIN
from .cells import Cell, Comparison
from .study import Study
from .uncertainty import Judged, judged


@dataclass(frozen=True)
class DataSummary:
    """One data set: its cells (the baseline first, then its methods) and its comparisons; one honest rule for all."""

    data: str
    cells: tuple[Cell, ...]
    comparisons: tuple[Comparison, ...]
    extended: tuple[Comparison, ...] = ()  # baselines tuned with more trials, against themselves
    attributions: tuple[Comparison, ...] = ()  # methods against their controls
    mixtures: tuple[Comparison, ...] = ()  # classifiers trained on mixtures against those that were not
    raw: tuple[Cell, ...] = ()  # raw and standardised features

    @property
    def rule(self) -> str:
        """The honest one."""
        return self.cells[0].rule

    @property
    def task(self) -> Task:
        return self.cells[0].task

    @property
    def rules(self) -> tuple[str, ...]:
        """Selection rules that all cells can be judged by; the honest one first."""
        return tuple(rule for rule in RULES if all(rule in cell.rules for cell in self.cells))

    def comparison(self, cell: Cell) -> Comparison | None:
        """The comparison of a method's cell; None for a baseline."""
        return next((c for c in (*self.comparisons, *self.extended) if c.method is cell), None)

    @cached_property
    def uncertainty(self) -> list[Judged]:
        """What tells right from wrong answers, of the cells whose runs measured it."""
        return judged(self.cells)

    @cached_property
    def features(self) -> Cell | None:
        """Of raw and standardised features those that validation prefers; without validation, the raw ones."""

        def validation(cell: Cell) -> float:
            return float(np.mean([run.curve.get(0, 0.0) for run in cell.runs]))

        return max(self.raw, key=validation, default=None)

    def above(self, raw: Cell) -> tuple[Comparison, ...]:
        """Each cell against raw features, paired by fold: the same features for every seed."""
        scored = {run.fold: run for run in raw.runs}
        return tuple(
            Comparison(cell, Cell(tuple(replace(scored[run.fold], seed=run.seed) for run in cell.runs)))
            for cell in self.cells
        )


@dataclass(frozen=True)
class Summary:
    runs: tuple[Run, ...]  # trainings
    data_sets: tuple[DataSummary, ...]
    margin: float = MARGIN
    studies: tuple[Study, ...] = ()  # that the runs come from

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return tuple(comparison for data in self.data_sets for comparison in data.comparisons)

    @property
    def attributions(self) -> tuple[Comparison, ...]:
        """Methods against their controls."""
        return tuple(comparison for data in self.data_sets for comparison in data.attributions)

    @property
    def mixtures(self) -> tuple[Comparison, ...]:
        """Classifiers trained on mixtures against those that were not."""
        return tuple(comparison for data in self.data_sets for comparison in data.mixtures)

    @property
    def task(self) -> Task:
        """Of all runs."""
        return self.runs[0].task

    @property
    def all_runs(self) -> tuple[Run, ...]:
        """Those of the raw features, then the trainings."""
        return (*(run for data in self.data_sets for cell in data.raw for run in cell.runs), *self.runs)


def summarize(runs: Iterable[Run], margin: float = MARGIN, studies: Iterable[Study] = ()) -> Summary:
    """The report's numbers from runs that passed ``check_comparable``.

    Holm's family is every comparison of the report in the primary metric by the honest rule: at the epoch that the
    validation fold chose or, where none validates, at the last one. The equivalence tests are a family of their own. A
    comparison without a verdict (:attr:`Comparison.judged`) counts in both with p = 1, so that leaving it out gains
    nothing. A baseline that was tuned with more trials is a reference and no claim, so it is in neither, and nor are
    raw features. Methods against their controls are two families more: another question, asked of the same runs. So
    are classifiers trained on mixtures against those that were not.
    """
    given = tuple(sorted(runs, key=lambda run: (run.data, run.loss, order(run.method), run.pair)))
    runs = tuple(run for run in given if not run.is_raw)
    cells: dict[tuple[str, str, str], list[Run]] = {}
    for run in given:
        cells.setdefault((run.data, run.loss, run.method), []).append(run)
    made = {key: Cell(tuple(group)) for key, group in cells.items()}
    plain = [
        Comparison(cell, made[data, loss, BASELINE], margin=margin, extra=made.get((data, loss, EXTENDED_BASELINE)))
        for (data, loss, method), cell in made.items()
        if method != BASELINE
    ]
    attributions = _adjusted(
        [
            Comparison(cell, made[data, loss, control], margin=margin, lacks=lacks)
            for (data, loss, _), cell in made.items()
            for control, lacks in cell.controls.items()
            if (data, loss, control) in made
        ]
    )
    mixtures = _adjusted(
        [
            Comparison(cell, made[data, SOFTMAX, method], margin=margin)
            for (data, loss, method), cell in made.items()
            if loss.startswith(f"{SOFTMAX}+") and (data, SOFTMAX, method) in made
        ]
    )
    comparisons = _adjusted([comparison for comparison in plain if comparison.method.method != EXTENDED_BASELINE])
    extended = [comparison for comparison in plain if comparison.method.method == EXTENDED_BASELINE]

    def on(data: str, found: Iterable[Comparison]) -> tuple[Comparison, ...]:
        return tuple(comparison for comparison in found if comparison.method.data == data)

    data_sets = [
        DataSummary(
            data,
            tuple(cell for key, cell in made.items() if key[0] == data and not cell.is_raw),
            on(data, comparisons),
            on(data, extended),
            on(data, attributions),
            on(data, mixtures),
            tuple(cell for key, cell in made.items() if key[0] == data and cell.is_raw),
        )
        for data in sorted({run.data for run in runs})
    ]
    return Summary(runs, tuple(data_sets), margin, tuple(studies))


def order(method: str) -> tuple[bool, bool, str]:
    """The baseline first, then itself with more trials."""
    return method != BASELINE, method != EXTENDED_BASELINE, method


def _adjusted(plain: list[Comparison]) -> list[Comparison]:
    adjusted = statistics.holm([comparison.p if comparison.judged else 1.0 for comparison in plain])
    smallest = statistics.holm([comparison.smallest_p for comparison in plain])
    known = [(c.equivalence_p, c.judged) for c in plain if c.equivalence_p is not None]
    equivalence = iter(statistics.holm([p if judged else 1.0 for p, judged in known]))
    return [
        replace(
            comparison,
            family=len(plain),
            holm_p=p,
            smallest_holm_p=least,
            holm_equivalence_p=None if comparison.equivalence_p is None else next(equivalence),
        )
        for comparison, p, least in zip(plain, adjusted, smallest, strict=True)
    ]
