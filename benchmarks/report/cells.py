"""What the report counts: a cell of runs that differ in seed and fold, and the comparison of two cells, in points."""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .. import statistics
from ..runs.reader import Run
from ..runs.schema import RULES, Task
from ..statistics import MARGIN, FoldLevel, Interval
from .per_query import mean_difference_by_query


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % t-interval.

    There is no interval for one seed, nor where it would hold values that the quantity cannot have: two seeds may give
    throughputs from -600 to 1,200 images per second, which says nothing but that they are too few.
    """

    per_seed: tuple[float, ...]
    bounds: tuple[float, float] = (-math.inf, math.inf)  # of the possible values

    @property
    def mean(self) -> float:
        return float(np.mean(self.per_seed))

    @cached_property
    def interval(self) -> Interval | None:
        found = statistics.t_interval(self.per_seed)
        if found is None or found.low < self.bounds[0] or found.high > self.bounds[1]:
            return None
        return found


POINTS = (0.0, 100.0)
POSITIVE = (0.0, math.inf)


@dataclass(frozen=True)
class Cell:
    """All runs of one loss with one method on one data set."""

    runs: tuple[Run, ...]

    @property
    def data(self) -> str:
        return self.runs[0].data

    @property
    def loss(self) -> str:
        return self.runs[0].loss

    @property
    def method(self) -> str:
        return self.runs[0].method

    @property
    def task(self) -> Task:
        return self.runs[0].task

    @property
    def is_raw(self) -> bool:
        """Whether these are the raw features, one run per fold, which have no seeds."""
        return self.runs[0].is_raw

    @property
    def seeds(self) -> list[int]:
        return sorted({run.seed for run in self.runs})

    @property
    def folds(self) -> list[int]:
        return sorted({run.fold for run in self.runs})

    @property
    def controls(self) -> dict[str, str]:
        """Methods by name, and what each lacks of this one."""
        return {name: lacks for run in self.runs for name, lacks in run.controls.items()}

    @property
    def rule(self) -> str:
        """The honest one."""
        return self.runs[0].rule

    @cached_property
    def rules(self) -> tuple[str, ...]:
        """Selection rules by which all its runs were scored on the test set; the honest one first."""
        return tuple(rule for rule in RULES if all(rule in run.selection for run in self.runs))

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Those by which all its runs were scored on the test set."""
        first, *others = (run.selected().test for run in self.runs)
        return tuple(metric for metric in first if all(metric in scores for scores in others))

    def score(self, metric: str, rule: str | None = None) -> Estimate:
        """Test scores by a rule; None: the honest one."""
        return self._estimate(lambda run: 100 * run.selected(rule).test[metric], POINTS)

    def inflation(self, rule: str) -> Estimate:
        """How much the rule's primary metric exceeds that of the honest rule."""
        metric = self.task.primary
        return self._estimate(lambda run: 100 * (run.selected(rule).test[metric] - run.selected().test[metric]))

    def epochs(self) -> tuple[int, int]:
        """The earliest and the latest epoch that the honest rule chose."""
        chosen = [run.selected().epoch for run in self.runs]
        return min(chosen), max(chosen)

    def oracle(self, rule: str) -> bool:
        return self.runs[0].selected(rule).oracle

    @cached_property
    def milliseconds_per_step(self) -> Estimate:
        return self._estimate(lambda run: 1000 * run.cost.seconds_per_step, POSITIVE)

    @cached_property
    def images_per_second(self) -> Estimate:
        return self._estimate(lambda run: run.cost.images_per_second, POSITIVE)

    @cached_property
    def peak_memory_bytes(self) -> float | None:
        """The highest peak of all its runs; None where one was not measured."""
        peaks = [run.cost.peak_memory_bytes for run in self.runs]
        return None if None in peaks else max(p for p in peaks if p is not None)

    @cached_property
    def active_share(self) -> float | None:
        """The share of steps with synthetic points; None for methods that act by construction, and for baselines."""
        activities = [run.activity for run in self.runs if run.activity is not None]
        steps = sum(activity.steps for activity in activities)
        return sum(activity.active_steps for activity in activities) / steps if steps else None

    @cached_property
    def synthetic_per_step(self) -> float | None:
        """Mean number of synthetic points per step; None as for :attr:`active_share`."""
        activities = [run.activity for run in self.runs if run.activity is not None]
        steps = sum(activity.steps for activity in activities)
        made = sum(activity.synthetic_per_step * activity.steps for activity in activities)
        return made / steps if steps else None

    @cached_property
    def synthetic_share(self) -> float | None:
        """The share of distances between classes, over active steps, that were those of points; None: not counted."""
        shares = [(run.activity.synthetic_share, run.activity.active_steps) for run in self.runs if run.activity]
        counted = [(share, steps) for share, steps in shares if share is not None]
        steps = sum(steps for _, steps in counted)
        return sum(share * steps for share, steps in counted) / steps if steps else None

    def _estimate(self, value: Callable[[Run], float], bounds: tuple[float, float] = (-math.inf, math.inf)) -> Estimate:
        return Estimate(tuple(statistics.over_seeds({run.pair: value(run) for run in self.runs}).tolist()), bounds)


@dataclass(frozen=True)
class Comparison:
    """A method against its baseline, or against one of its controls, paired by (seed, fold)."""

    method: Cell
    baseline: Cell
    margin: float = MARGIN  # points within which two losses count as equivalent
    family: int = 1  # comparisons of the report of the same question, for all of which p is adjusted
    holm_p: float = 1.0  # adjusted over the family
    smallest_holm_p: float = 1.0  # what holm_p would be if all of the family had the smallest p their seeds can reach
    holm_equivalence_p: float | None = None  # adjusted over those with at least two seeds
    extra: Cell | None = None  # the baseline, tuned with more trials
    lacks: str | None = None  # what the control, which `baseline` is then, lacks of the method; None: no control

    @property
    def num_seeds(self) -> int:
        return len(self.method.seeds)

    @cached_property
    def inactive(self) -> tuple[Run, ...]:
        """Runs whose method never made a synthetic point."""
        return tuple(run for cell in (self.method, self.baseline) for run in cell.runs if run.inactive)

    @property
    def augmentation_off(self) -> bool:
        """Whether the search of the method, or of its control, found the loss alone to be best."""
        return any(run.augmentation_off for cell in (self.method, self.baseline) for run in cell.runs)

    @cached_property
    def untrained(self) -> tuple[Run, ...]:
        """Runs in which validation chose the model as it was before training."""
        return tuple(run for cell in (self.method, self.baseline) for run in cell.runs if run.untrained)

    @cached_property
    def identical(self) -> tuple[Run, ...]:
        """Runs of the method that went exactly as their baseline's, evaluation by evaluation."""
        histories = {run.pair: run for run in self.baseline.runs}
        pairs = [(run, histories[run.pair]) for run in self.method.runs if run.pair in histories]
        return tuple(run for run, base in pairs if run.name != base.name and run.history == base.history)

    @property
    def judged(self) -> bool:
        """Whether there is evidence for a verdict: the method acted, and both sides were trained."""
        return not (self.augmentation_off or self.inactive or self.untrained or self.identical)

    @property
    def metric(self) -> str:
        """The one that is tested."""
        return self.method.task.primary

    def difference(self, metric: str | None = None, rule: str | None = None) -> Estimate:
        """In test scores, None: of the primary metric, by a rule, None: the honest one."""

        def score(run: Run) -> float:
            return 100 * run.selected(rule).test[metric or self.metric]

        return self._paired(score, operator.sub)

    @cached_property
    def primary(self) -> Estimate:
        return self.difference()

    @cached_property
    def bootstrap(self) -> Interval | None:
        return statistics.bootstrap_interval(self.primary.per_seed)

    @cached_property
    def p(self) -> float:
        return statistics.sign_flip_p(self.primary.per_seed)

    @property
    def smallest_p(self) -> float:
        return statistics.smallest_p(self.num_seeds)

    @cached_property
    def detectable(self) -> float | None:
        """The true difference that the adjusted sign-flip test finds in 80 %; None where it can find none."""
        return statistics.minimum_detectable_effect(self.primary.per_seed, self.family)

    @cached_property
    def equivalence_p(self) -> float | None:
        return statistics.equivalence_p(self.primary.per_seed, self.margin)

    @cached_property
    def over_classes(self) -> Interval | None:
        """Interval of the mean difference under resampling of test classes, in points; the trained models stay."""
        labels, difference = mean_difference_by_query(self.method.runs, self.baseline.runs, self.metric)
        return statistics.class_bootstrap_interval(100 * difference, labels)

    @cached_property
    def fold_level(self) -> FoldLevel | None:
        """Over folds, each averaged over seeds; None with one fold."""
        if len(self.method.folds) == 1:
            return None
        by_fold: dict[int, list[float]] = {}
        scores = {run.pair: run.selected().test[self.metric] for run in self.baseline.runs}
        for run in self.method.runs:
            gain = 100 * (run.selected().test[self.metric] - scores[run.pair])
            by_fold.setdefault(run.fold, []).append(gain)
        sizes = [run.images for run in self.method.runs]
        share = float(np.mean([images["val"] / images["train"] for images in sizes]))
        return statistics.corrected_resampled_t([np.mean(by_fold[fold]) for fold in sorted(by_fold)], share)

    @cached_property
    def published_style(self) -> Estimate | None:
        """The method at its best epoch on the test set against the baseline by the honest rule."""
        if "test" not in self.rules:
            return None
        baseline = {run.pair: 100 * run.selected().test[self.metric] for run in self.baseline.runs}
        method = {run.pair: 100 * run.selected("test").test[self.metric] for run in self.method.runs}
        return Estimate(tuple(statistics.paired_by_seed(method, baseline).tolist()))

    @property
    def rules(self) -> tuple[str, ...]:
        return tuple(rule for rule in self.method.rules if rule in self.baseline.rules)

    @property
    def metrics(self) -> tuple[str, ...]:
        return tuple(metric for metric in self.method.metrics if metric in self.baseline.metrics)

    @cached_property
    def against_extra(self) -> Estimate | None:
        """The method against the baseline that was tuned with more trials; None where there is none of these."""
        if self.extra is None:
            return None
        return replace(self, baseline=self.extra).primary

    @cached_property
    def slowdown(self) -> Estimate:
        """Seconds per step, as a multiple of the baseline's."""
        return self._paired(lambda run: run.cost.seconds_per_step, operator.truediv, POSITIVE)

    def _paired(
        self,
        value: Callable[[Run], float],
        combine: Callable[[float, float], float],
        bounds: tuple[float, float] = (-math.inf, math.inf),
    ) -> Estimate:
        scores = [{run.pair: value(run) for run in cell.runs} for cell in (self.method, self.baseline)]
        return Estimate(tuple(statistics.paired_by_seed(scores[0], scores[1], combine).tolist()), bounds)
