"""The sign-flip test: a paired permutation test on the mean difference."""

import math
from typing import Any

import numpy as np
from scipy import stats

from .finite import finite

EXACT_UP_TO = 16  # seeds whose 2^n sign patterns are all enumerated
DRAWS = 99_999  # sign patterns drawn beyond that


def sign_flip_p(differences: Any) -> float:
    r"""Two-sided p-value of the sign-flip (paired permutation) test on the mean; exact up to 16 differences.

    .. math:: p = 2^{-n} \, \#\{ s \in \{-1, 1\}^n : |\textstyle\sum_i s_i d_i| \ge |\sum_i d_i| \}

    It holds for any distribution of the differences that is symmetric around 0 when method and baseline are equal.
    Beyond 16 differences, 99,999 patterns are drawn from a generator that starts from 0.

    Args:
        differences: (n,), one paired difference per seed, n at least 1.

    Source: Fisher, "The design of experiments", 1935, section 21; ``scipy.stats.permutation_test``.

    Example:
        >>> sign_flip_p([1.0, 2.0, 3.0])  # 2 of the 8 sign patterns are as extreme
        0.25
    """
    sample = finite(differences, "differences")
    if len(sample) == 1:  # both sign patterns are as extreme; scipy wants two values
        return 1.0
    result = stats.permutation_test(
        (sample,),
        np.mean,
        permutation_type="samples",
        n_resamples=np.inf if len(sample) <= EXACT_UP_TO else DRAWS,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def sign_flip_ps(samples: np.ndarray) -> np.ndarray:
    """:func:`sign_flip_p` of many samples of few differences at once: (E, n) -> (E,).

    Example:
        >>> sign_flip_ps(np.array([[1.0, 2.0, 3.0], [1.0, 2.0, -3.0]])).tolist()
        [0.25, 1.0]
    """
    seeds = samples.shape[1]
    flipped = np.arange(2 ** (seeds - 1))[:, None] >> np.arange(seeds) & 1  # never the last: the other half mirrors it
    sums = np.abs(samples @ (1 - 2 * flipped.T))
    return (sums >= sums[:, :1] * (1 - 1e-9)).mean(axis=1)


def smallest_p(num_seeds: int) -> float:
    """The smallest attainable p of the sign-flip test: 2^(1-n) for n seeds while it is exact.

    Example:
        >>> [smallest_p(n) for n in (1, 5, 6)]
        [1.0, 0.0625, 0.03125]
    """
    if num_seeds < 1:
        raise ValueError(f"num_seeds must be at least 1, but got {num_seeds}")
    return 2.0 ** (1 - num_seeds) if num_seeds <= EXACT_UP_TO else 2 / (DRAWS + 1)


def seeds_to_reach(alpha: float, num_comparisons: int = 1) -> int:
    """The fewest seeds per comparison with which the smallest attainable Holm-adjusted p is at most ``alpha``.

    The smallest of m p-values is multiplied by m, and the others are adjusted to no less, so m 2^(1-n) has to fit.

    Example:
        >>> seeds_to_reach(0.05), seeds_to_reach(0.05, num_comparisons=4)
        (6, 8)
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, but got {alpha}")
    return max(1, math.ceil(1 + math.log2(num_comparisons / alpha)))
