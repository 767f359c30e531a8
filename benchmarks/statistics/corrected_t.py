"""The corrected resampled t-test over folds, which share training data."""

from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from .finite import finite
from .intervals import Interval


class FoldLevel(NamedTuple):
    p: float
    interval: Interval


def corrected_resampled_t(differences: Any, validation_share: float, confidence: float = 0.95) -> FoldLevel | None:
    r"""Two-sided p-value and t-interval of the mean over folds; None for one fold.

    .. math:: t = \frac{\bar d}{\sqrt{\big(\frac1F + \frac{n_{val}}{n_{train}}\big) s^2}}, \quad F - 1
        \text{ degrees of freedom}

    The training sets of two folds overlap, so their differences are correlated and the plain t-test, which has 1/F
    alone, rejects far too often. The correction takes the correlation to be n_val / (n_val + n_train).

    Args:
        differences: (F,), one difference per fold, averaged over seeds, F at least 1.
        validation_share: n_val / n_train, above 0: 1/3 for four folds.
        confidence: of the interval.

    Source: Nadeau and Bengio, "Inference for the generalization error", Machine Learning 2003.

    Example:
        >>> plain, corrected = stats.ttest_1samp([1.0, 2, 3, 2], 0).pvalue, corrected_resampled_t([1, 2, 3, 2], 1 / 3)
        >>> round(float(plain), 3), round(corrected.p, 3)
        (0.016, 0.049)
    """
    if not validation_share > 0:
        raise ValueError(f"validation_share must be above 0, but got {validation_share}")
    sample = finite(differences, "differences")
    if len(sample) < 2:
        return None
    scale = float(np.sqrt((1 / len(sample) + validation_share) * sample.var(ddof=1)))
    freedom, mean = len(sample) - 1, float(sample.mean())
    if scale == 0:
        return FoldLevel(float(mean == 0), Interval(mean, mean))
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * scale
    return FoldLevel(float(2 * stats.t.sf(abs(mean) / scale, freedom)), Interval(mean - half, mean + half))
