"""Level and power of the tests and coverage of the intervals, counted on simulated experiments."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from pml_aug_benchmarks.statistics.class_bootstrap import class_bootstrap_interval
from pml_aug_benchmarks.statistics.corrected_t import corrected_resampled_t
from pml_aug_benchmarks.statistics.equivalence import equivalence_p
from pml_aug_benchmarks.statistics.holm import holm
from pml_aug_benchmarks.statistics.intervals import Interval, bootstrap_interval, t_interval
from pml_aug_benchmarks.statistics.power import minimum_detectable_effect
from pml_aug_benchmarks.statistics.sign_flip import sign_flip_ps

ALPHA = 0.05


class Share(NamedTuple):
    """How many of the simulated experiments, and within what the count itself is sure."""

    value: float
    experiments: int

    @property
    def standard_error(self) -> float:
        return float(np.sqrt(max(self.value * (1 - self.value), 1e-4) / self.experiments))


def sign_flip_rejects(seeds: int, effect: float, experiments: int) -> Share:
    """``effect``: true difference in standard deviations of the paired differences, which are normal."""
    samples = _random(1).normal(effect, 1, (experiments, seeds))
    return _share(sign_flip_ps(samples) <= ALPHA)


def sign_flip_rejects_heavy_tailed(seeds: int, experiments: int) -> Share:
    """With Laplace-distributed differences: symmetric around 0, with heavy tails."""
    samples = _random(2).laplace(0, 1, (experiments, seeds))
    return _share(sign_flip_ps(samples) <= ALPHA)


def family_rejects(comparisons: int, seeds: int, experiments: int, corrected: bool) -> Share:
    """Experiments in which any of several comparisons without a true difference is called significant."""
    samples = _random(3).normal(size=(experiments, comparisons, seeds))
    p_values = sign_flip_ps(samples.reshape(-1, seeds)).reshape(experiments, comparisons)
    found = p_values.min(axis=1) <= ALPHA
    if corrected:  # adjusting makes no p smaller
        found[found] = [min(holm(row)) <= ALPHA for row in p_values[found].tolist()]
    return _share(found)


def detectable_effect_found(comparisons: int, seeds: int, experiments: int) -> Share:
    """How often Holm lets the one true difference of a family be found, if it is as large as is called detectable."""
    effect = minimum_detectable_effect(_with_unit_spread(seeds), comparisons)
    assert effect is not None
    samples = _random(9).normal(size=(experiments, comparisons, seeds))
    samples[:, 0] += effect
    p_values = sign_flip_ps(samples.reshape(-1, seeds)).reshape(experiments, comparisons)
    return _share(holm(row)[0] <= ALPHA for row in p_values.tolist())


def equivalence_found(seeds: int, effect: float, margin: float, experiments: int) -> Share:
    """``effect`` and ``margin`` in standard deviations; with effect = margin every finding is an error."""
    samples = _random(4).normal(effect, 1, (experiments, seeds))
    return _share((equivalence_p(sample, margin) or 0) <= ALPHA for sample in samples)


def interval_covers(interval: Callable[[np.ndarray], Interval | None], seeds: int, experiments: int) -> Share:
    samples = _random(5).normal(size=(experiments, seeds))
    return _share(_contains(interval(sample), 0) for sample in samples)


def class_interval_covers(classes: int, experiments: int, resamples: int = 999, by_query: bool = False) -> Share:
    """Queries of a class share half of their variance; 8 to 12 of them. ``by_query``: drawn singly, as is wrong."""
    random = _random(6)
    covered = []
    for _ in range(experiments):
        labels = np.repeat(np.arange(classes), random.integers(8, 13, classes))
        values = random.normal(size=classes)[labels] + random.normal(size=len(labels))
        clusters = np.arange(len(labels)) if by_query else labels
        covered.append(_contains(class_bootstrap_interval(values, clusters, resamples=resamples), 0))
    return _share(covered)


def folds_reject(folds: int, effect: float, experiments: int, corrected: bool) -> Share:
    """Differences of folds that correlate by 1 / ``folds``, as the correction takes them to."""
    random, correlation = _random(7), 1 / folds
    common = random.normal(size=(experiments, 1)) * np.sqrt(correlation)
    samples = effect + common + random.normal(size=(experiments, folds)) * np.sqrt(1 - correlation)
    share = 1 / (folds - 1) if corrected else 1e-12
    return _share(level.p <= ALPHA for level in (corrected_resampled_t(row, share) for row in samples) if level)


def tables(experiments: int) -> dict[str, tuple[list[str], list[list[str]]]]:
    """The tables of ``docs/statistics.md``: title -> heads and rows, in percent."""
    return {
        "Sign-flip test over seeds": (
            ["seeds", "false alarms", "false alarms, heavy tails", "finds 1 s.d.", "finds 1.5 s.d."],
            [[str(n), *_cells(sign_flip_rejects(n, 0, experiments), sign_flip_rejects_heavy_tailed(n, experiments),
                              sign_flip_rejects(n, 1, experiments), sign_flip_rejects(n, 1.5, experiments))]
             for n in (4, 5, 6, 8, 10)],
        ),
        "Any false alarm among seven comparisons, 10 seeds": (
            ["p-values as they are", "after Holm"],
            [_cells(*(family_rejects(7, 10, experiments // 4, corrected) for corrected in (False, True)))],
        ),
        "One true difference among seven comparisons, as large as the report calls detectable": (
            ["seeds", "s.d.", "found after Holm, 80 wanted"],
            [[str(n), f"{minimum_detectable_effect(_with_unit_spread(n), 7):.2f}",
              *_cells(detectable_effect_found(7, n, experiments))] for n in (9, 10, 12, 15)],
        ),
        "Equivalence (TOST)": (
            ["seeds", "margin, s.d.", "errors: true difference at the margin", "found: no true difference"],
            [[str(n), f"{m:g}", *_cells(equivalence_found(n, m, m, experiments),
                                       equivalence_found(n, 0, m, experiments))]
             for n in (5, 10) for m in (0.5, 1, 2)],
        ),
        "Intervals over seeds that cover the truth, 95 wanted": (
            ["seeds", "Student's t", "percentile bootstrap"],
            [[str(n), *_cells(interval_covers(t_interval, n, experiments),
                              interval_covers(lambda s: bootstrap_interval(s, resamples=999), n, experiments // 4))]
             for n in (5, 6, 10)],
        ),
        "Intervals over test classes that cover the truth, 95 wanted": (
            ["test classes", "classes drawn", "queries drawn singly, for contrast"],
            [[str(c), *_cells(class_interval_covers(c, experiments // 4),
                              class_interval_covers(c, experiments // 4, by_query=True))] for c in (20, 50, 100)],
        ),
        "Four folds": (
            ["test", "false alarms", "finds 2 s.d.", "finds 4 s.d."],
            [[name, *_cells(*(folds_reject(4, effect, experiments, corrected) for effect in (0, 2, 4)))]
             for name, corrected in (("plain t, for contrast", False), ("corrected resampled t", True))],
        ),
    }  # fmt: skip


def _cells(*shares: Share) -> list[str]:
    return [f"{100 * share.value:.1f} ± {196 * share.standard_error:.1f}" for share in shares]


def _share(outcomes: Iterable[object]) -> Share:
    values = [bool(outcome) for outcome in outcomes]
    return Share(sum(values) / len(values), len(values))


def _contains(interval: Interval | None, value: float) -> bool:
    return interval is not None and interval.low <= value <= interval.high


def _with_unit_spread(count: int) -> np.ndarray:
    values = np.arange(float(count))
    return values / values.std(ddof=1)


def _random(stream: int) -> np.random.Generator:
    return np.random.default_rng([2024, stream])
