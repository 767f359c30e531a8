"""Ranks over data sets, and how far they can be trusted."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from benchmarks.statistics.finite import finite
from benchmarks.statistics.intervals import RESAMPLES, Interval

ENOUGH_DATA_SETS = 10  # from which the Friedman test's chi-squared holds well


class Ranking(NamedTuple):
    mean_ranks: list[float]  # one a contestant, 1 is best
    intervals: list[Interval | None]  # percentile bootstrap; None where there is nothing to resample
    friedman_p: float | None  # that all contestants are equal; None with fewer than 10 data sets
    critical_difference: float | None  # of two mean ranks, by Nemenyi at 5 %; None likewise


def ranking(scores: Sequence[Any], confidence: float = 0.95, resamples: int = RESAMPLES) -> Ranking:
    r"""Mean rank of each contestant over data sets, higher scores ranking first; ties share their ranks.

    .. math:: \bar r_j = \frac1D \sum_d \text{rank of } \bar s_{d,j} \text{ among } \bar s_{d,1..M}, \quad
        CD = q_{.05} \sqrt{\frac{M (M + 1)}{6 D}}

    Each bootstrap draws data sets with replacement, and within each of them seeds, the same for all contestants. With
    one data set only the seeds are drawn, with one seed only the data sets. Few data sets are no sample of anything:
    below 10 there is no test, and the ranks describe these data sets alone.

    Args:
        scores: one array a data set, (M contestants, its seeds).
        confidence: of the intervals.
        resamples: from a generator that starts from 0.

    Source: Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 2006, section 3.2;
    ``scipy.stats.friedmanchisquare``, ``scipy.stats.studentized_range``.

    Example:
        >>> ranking([[[0.3], [0.2]], [[0.5], [0.4]]]).mean_ranks
        [1.0, 2.0]
    """
    tables = [finite(table, "scores") for table in scores]
    if not tables or any(table.ndim != 2 or len(table) != len(tables[0]) or not table.size for table in tables):
        raise ValueError("scores must be one (contestants, seeds) array a data set, with the same contestants in each")
    means = np.array([table.mean(axis=1) for table in tables])
    ranks = _ranks(means)
    contestants, data_sets = means.shape[1], len(tables)
    drawn = _resampled(tables, resamples)
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    certain = data_sets == 1 and tables[0].shape[1] == 1
    intervals = [None if certain else Interval(float(a), float(b)) for a, b in zip(low, high, strict=True)]
    friedman, critical = None, None
    if data_sets >= ENOUGH_DATA_SETS and contestants > 2:
        friedman = float(stats.friedmanchisquare(*means.T).pvalue)
        quantile = float(stats.studentized_range.ppf(0.95, contestants, np.inf)) / np.sqrt(2)
        critical = float(quantile * np.sqrt(contestants * (contestants + 1) / (6 * data_sets)))
    return Ranking([float(rank) for rank in ranks.mean(axis=0)], intervals, friedman, critical)


def _resampled(tables: list[np.ndarray], resamples: int) -> np.ndarray:
    """(resamples, M) mean ranks."""
    random = np.random.default_rng(0)
    of_each = []
    for table in tables:
        seeds = random.integers(table.shape[1], size=(resamples, table.shape[1]))
        of_each.append(_ranks(table[:, seeds].mean(axis=2).T))
    picked = random.integers(len(tables), size=(resamples, len(tables)))
    every = np.stack(of_each)  # (D, resamples, M)
    return every[picked, np.arange(resamples)[:, None]].mean(axis=1)


def _ranks(means: np.ndarray) -> np.ndarray:
    """(..., M): 1 for the highest."""
    return stats.rankdata(-means, axis=-1)
