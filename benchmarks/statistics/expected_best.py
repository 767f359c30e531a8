"""Expected best score of a search with fewer trials."""

from typing import Any

import numpy as np
from scipy.special import gammaln

from .finite import finite


def expected_best(scores: Any) -> np.ndarray:
    r"""Expected maximum of n of the N scores, drawn without replacement, for n = 1 to N.

    .. math:: E_n = \sum_{i=n}^{N} s_{(i)} \binom{i-1}{n-1} \Big/ \binom Nn, \quad s_{(1)} \le \dots \le s_{(N)}

    The closed form of drawing budgets of n trials from the ledger again and again; unbiased for trials that were drawn
    at random, which those of an adaptive search are not.

    Args:
        scores: (N,), one per trial, N at least 1.

    Shapes:
        (N,) -> (N,), ascending

    Source: Dodge et al., "Show your work", EMNLP 2019, in the unbiased form of Tang et al., "Showing your
    work doesn't always work", ACL 2020.

    Example:
        >>> expected_best([1.0, 3.0, 2.0]).round(3).tolist()
        [2.0, 2.667, 3.0]
    """
    ordered = np.sort(finite(scores, "scores"))
    total = len(ordered)
    if not total:
        raise ValueError("scores must hold at least one trial, but got none")
    rank, budget = np.arange(1, total + 1), np.arange(1, total + 1)[:, None]
    possible = rank >= budget
    left = np.where(possible, rank - budget, 0)
    log_ways = gammaln(rank) - gammaln(budget) - gammaln(left + 1)
    log_all = gammaln(total + 1) - gammaln(budget + 1) - gammaln(total - budget + 1)
    return (np.where(possible, np.exp(log_ways - log_all), 0) * ordered).sum(axis=1)
