"""The probability that an answer is right, learned from scores of other classes, and how well it is calibrated."""

from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from .finite import finite

RIDGE = 1e-3  # on standardised inputs: scores that separate right and wrong answers get a finite slope
STEPS = 100
BINS = 15


def match_probability(inputs: Any, right: Any, labels: Any) -> np.ndarray:
    r"""The probability that each query's answer is right, by logistic regression on the queries of other classes.

    .. math:: p = \sigma(b + w^\top z), \quad z \text{ the inputs, standardised}

    The classes are cut into two halves, every second one; each half is judged by the regression on the other one.

    Args:
        inputs: (p, n), one score a row.
        right: (n,), 0 or 1.
        labels: (n,), the query's class; at least two classes.

    Returns:
        (n,), between 0 and 1.

    Source: Platt, "Probabilistic outputs for support vector machines", 1999.

    Example:
        >>> scores, right, labels = [[0.0, 1.0, 0.0, 1.0] * 9], [1, 0, 1, 0] * 9, [0, 0, 1, 1] * 9
        >>> match_probability(scores, right, labels)[:2].round(1).tolist()
        [1.0, 0.0]
    """
    rows = np.atleast_2d(np.asarray(inputs, dtype=float)).T
    answers, classes = finite(right, "right"), np.asarray(labels)
    if not np.isfinite(rows).all() or rows.shape[0] != len(answers) or classes.shape != answers.shape:
        raise ValueError(
            f"inputs, right and labels need finite entries for the same queries, but have shapes {rows.T.shape}, "
            f"{answers.shape} and {classes.shape}"
        )
    _, place = np.unique(classes, return_inverse=True)
    half = place % 2 == 0
    if half.all():
        raise ValueError("labels must be of at least two classes, one to learn from and one to judge")
    found = np.empty(len(answers))
    for judged in (half, ~half):
        found[judged] = _fitted(rows[~judged], answers[~judged], rows[judged])
    return found


def _fitted(rows: np.ndarray, right: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """Probabilities for the rows ``judged``, (m, p), by a regression on others: Newton's method."""
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    design = np.column_stack([np.ones(len(rows)), (rows - mean) / scale])
    penalty = np.diag([1e-9] + [RIDGE] * rows.shape[1]) * len(rows)
    weights = np.zeros(design.shape[1])
    for _ in range(STEPS):
        found = expit(design @ weights)
        gradient = design.T @ (right - found) - penalty @ weights
        step = np.linalg.solve((design * (found * (1 - found))[:, None]).T @ design + penalty, gradient)
        weights += step / max(1.0, np.abs(step).max())  # at most 1 a step, so that no step overshoots for good
        if np.abs(step).max() < 1e-9:
            break
    return np.asarray(expit(np.column_stack([np.ones(len(judged)), (judged - mean) / scale]) @ weights))


class Reliability(NamedTuple):
    """Bins of as many queries each, by their predicted probability."""

    predicted: np.ndarray  # (B,), mean
    observed: np.ndarray  # (B,), share of right answers
    counts: np.ndarray  # (B,)


def reliability(probability: Any, right: Any, bins: int = BINS) -> Reliability:
    """How often answers are right, by the probability that was predicted.

    Example:
        >>> found = reliability([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], bins=2)
        >>> found.predicted.round(2).tolist(), found.observed.tolist()
        ([0.15, 0.85], [0.0, 1.0])
    """
    predicted, answers = finite(probability, "probability"), finite(right, "right")
    order = np.argsort(predicted, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    means = (np.array([values[part].mean() for part in parts]) for values in (predicted, answers))
    return Reliability(next(means), next(means), np.array([len(part) for part in parts]))


def calibration_error(probability: Any, right: Any, bins: int = BINS) -> float:
    """The mean distance between predicted probability and share of right answers, over bins of as many queries each.

    Source: Nguyen and O'Connor, "Posterior calibration and exploratory analysis for natural language processing
    models", EMNLP 2015 (bins of equal counts); Naeini et al., AAAI 2015.

    Example:
        >>> round(calibration_error([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], bins=2), 9)
        0.15
    """
    found = reliability(probability, right, bins)
    return float(np.average(np.abs(found.predicted - found.observed), weights=found.counts))


def brier_skill(probability: Any, right: Any) -> float | None:
    r"""How much smaller the squared error is than that of the share of right answers, 1 at most; None if all are alike.

    .. math:: 1 - \frac{\sum_i (p_i - y_i)^2}{\sum_i (\bar y - y_i)^2}

    Source: Brier, "Verification of forecasts expressed in terms of probability", 1950.

    Example:
        >>> brier_skill([0.5, 0.5], [0, 1]), brier_skill([0.0, 1.0], [0, 1])
        (0.0, 1.0)
    """
    predicted, answers = finite(probability, "probability"), finite(right, "right")
    spread = ((answers - answers.mean()) ** 2).sum()
    return float(1 - ((predicted - answers) ** 2).sum() / spread) if spread else None
