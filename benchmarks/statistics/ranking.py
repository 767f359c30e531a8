"""How a score ranks: right answers and wrong ones, levels of a corruption."""

from typing import Any

import numpy as np
from scipy import stats

from .finite import finite


def auroc(score: Any, positive: Any) -> float | None:
    r"""The probability that a positive has a higher score than a negative, ties counting half; None without either.

    .. math:: \frac{\sum_{i \in P} \text{rank}_i - |P| (|P| + 1) / 2}{|P| |N|}

    Args:
        score: (n,).
        positive: (n,), bool.

    Source: Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
    Radiology 1982.

    Example:
        >>> auroc([0.1, 0.4, 0.4, 0.9], [False, False, True, True])
        0.875
    """
    scores, found = finite(score, "score"), np.asarray(positive, dtype=bool)
    if scores.shape != found.shape:
        raise ValueError(f"score and positive need one entry each, but have shapes {scores.shape} and {found.shape}")
    count = int(found.sum())
    if count in (0, len(found)):
        return None
    ranks = stats.rankdata(scores)[found].sum()
    return float((ranks - count * (count + 1) / 2) / (count * (len(found) - count)))


def severity_correlation(scores: Any) -> float:
    r"""The mean over queries of Spearman's correlation between the level of a corruption and the query's score.

    Args:
        scores: (L, n), of n queries at L levels, the mildest first. A query whose scores are all equal counts as 0.

    Source: Spearman, "The proof and measurement of association between two things", 1904.

    Example:
        >>> round(severity_correlation([[0.1, 0.5], [0.2, 0.5], [0.3, 0.5]]), 9)
        0.5
    """
    values = np.asarray(scores, dtype=float)
    if values.ndim != 2 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(
            f"scores must be finite, of two levels or more and some queries, but have shape {values.shape}"
        )
    ranks = stats.rankdata(values, axis=0)
    ranks -= ranks.mean(axis=0)
    levels = np.arange(len(values)) - (len(values) - 1) / 2
    lengths = np.linalg.norm(ranks, axis=0)
    return float(np.mean((levels @ ranks) / np.where(lengths > 0, lengths, np.inf) / np.linalg.norm(levels)))
