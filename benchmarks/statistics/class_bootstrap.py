"""How much a result depends on which classes the test set has."""

from typing import Any

import numpy as np

from benchmarks.statistics.finite import finite
from benchmarks.statistics.intervals import RESAMPLES, Interval

BLOCK = 2**22  # drawn class counts held at a time


def class_bootstrap_interval(
    values: Any, labels: Any, confidence: float = 0.95, resamples: int = RESAMPLES
) -> Interval | None:
    r"""Percentile interval for a mean over queries when whole classes are drawn anew; None for one class.

    .. math:: \bar v^* = \frac{\sum_c w_c \sum_{i \in c} v_i}{\sum_c w_c n_c}, \quad w \sim \text{Multinomial}(C, 1/C)

    Queries of a class share their right answers, so they stay together. What varies is which classes are asked about:
    the trained models are the same in every resample, and so is the gallery they search, in which the classes that
    were not drawn still distract. Hence it says nothing of what another seed would give, as an interval over seeds
    says nothing of other classes.

    Args:
        values: (Q,), one number a query: with several paired runs, their mean difference.
        labels: (Q,), the query's class.
        confidence: between 0 and 1.
        resamples: draws of as many classes as there are, from a generator that starts from 0.

    Source: Davison and Hinkley, "Bootstrap methods and their application", 1997 (resampling of clusters).

    Example:
        >>> class_bootstrap_interval([1.0, 1.0, 3.0, 3.0], [0, 0, 1, 1])
        Interval(low=1.0, high=3.0)
    """
    sample, classes = finite(values, "values"), np.asarray(labels)
    if sample.ndim != 1 or sample.shape != classes.shape:
        raise ValueError(f"values and labels must be one each a query, but got {sample.shape} and {classes.shape}")
    _, of_class = np.unique(classes, return_inverse=True)
    sizes = np.bincount(of_class)
    if len(sizes) < 2:
        return None
    sums = np.bincount(of_class, weights=sample)
    random = np.random.default_rng(0)
    means = []
    for start in range(0, resamples, max(1, BLOCK // len(sizes))):
        count = min(resamples - start, max(1, BLOCK // len(sizes)))
        drawn = random.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=count)
        means.append((drawn @ sums) / (drawn @ sizes))
    low, high = np.quantile(np.concatenate(means), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))
