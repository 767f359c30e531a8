"""What is gained by leaving the least certain queries unanswered: risk by coverage, and its area."""

from typing import Any

import numpy as np

from .finite import finite


def risk_coverage(uncertainty: Any, wrong: Any) -> np.ndarray:
    r"""The share of wrong answers among the k most certain queries, for k from 1 to n: (n,).

    .. math:: r_k = \frac1k \sum_{i \le k} e_{(i)}, \quad u_{(1)} \le u_{(2)} \le \dots

    Queries of equal uncertainty count as in the mean over all their orders.

    Args:
        uncertainty: u, (n,), n at least 1.
        wrong: e, (n,), 0 or 1 (or the mean over several answers).

    Source: El-Yaniv and Wiener, "On the foundations of noise-free selective classification", JMLR 2010.

    Example:
        >>> risk_coverage([0.3, 0.1, 0.2, 0.3], [1, 0, 0, 0]).round(3).tolist()
        [0.0, 0.0, 0.167, 0.25]
    """
    scores, errors = finite(uncertainty, "uncertainty"), finite(wrong, "wrong")
    if scores.shape != errors.shape:
        raise ValueError(f"uncertainty and wrong need one entry per query, but have {scores.shape} and {errors.shape}")
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    expected = np.bincount(group, weights=errors) / sizes
    return np.cumsum(expected.repeat(sizes)) / np.arange(1, len(scores) + 1)


def area_under_risk_coverage(uncertainty: Any, wrong: Any) -> float:
    """The mean of :func:`risk_coverage` over all coverages (AURC): the error rate if the uncertainty says nothing.

    Source: Geifman, Uziel and El-Yaniv, "Bias-reduced uncertainty estimation for deep neural classifiers", ICLR 2019.

    Example:
        >>> [round(area_under_risk_coverage(scores, [0, 0, 1, 1]), 3) for scores in ([1, 2, 3, 4], [5, 5, 5, 5])]
        [0.208, 0.5]
    """
    return float(risk_coverage(uncertainty, wrong).mean())
