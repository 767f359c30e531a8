"""Cluster bootstrap over test classes."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from .finite import finite
from .intervals import RESAMPLES, Interval

BLOCK = 2**22  # drawn class counts in memory at a time
KEPT = 2**27  # drawn class counts, bytes, that are kept for the next interval over as many classes


def class_bootstrap_interval(
    values: Any, labels: Any, confidence: float = 0.95, resamples: int = RESAMPLES
) -> Interval | None:
    r"""Percentile interval for a mean over queries under resampling of whole classes; None for one class.

    .. math:: \bar v^* = \frac{\sum_c w_c \sum_{i \in c} v_i}{\sum_c w_c n_c}, \quad w \sim \text{Multinomial}(C, 1/C)

    Queries of a class share their correct answers, so they are resampled together. Only the choice of query classes
    varies: the trained models are the same in every resample, and so is the gallery that they search, in which classes
    that were not drawn still distract. The interval does not cover the choice of seed, as an interval over seeds does
    not cover the choice of classes.

    Args:
        values: (Q,), one number per query: with several paired runs, their mean difference.
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
        raise ValueError(f"values and labels need one entry per query, but have shapes {sample.shape}, {classes.shape}")
    _, of_class = np.unique(classes, return_inverse=True)
    sizes = np.bincount(of_class)
    if len(sizes) < 2:
        return None
    sums = np.bincount(of_class, weights=sample)
    keep = resamples * len(sizes) <= KEPT
    drawn = _kept(len(sizes), resamples) if keep else _drawn(len(sizes), resamples)
    means = [(counts @ sums) / (counts @ sizes) for counts in drawn]
    low, high = np.quantile(np.concatenate(means), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def _drawn(num_classes: int, resamples: int) -> Iterator[np.ndarray]:
    """How often each class is drawn in each resample, in blocks of (some resamples, classes)."""
    random = np.random.default_rng(0)
    size = max(1, BLOCK // num_classes)
    for start in range(0, resamples, size):
        yield random.multinomial(num_classes, np.full(num_classes, 1 / num_classes), size=min(resamples - start, size))


@lru_cache(maxsize=1)
def _kept(num_classes: int, resamples: int) -> Iterable[np.ndarray]:
    """The same, as bytes: no class is drawn 256 times in as many draws as there are classes."""
    return [counts.astype(np.uint8) for counts in _drawn(num_classes, resamples)]
