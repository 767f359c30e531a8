"""Equivalence test (TOST): is the true difference within a margin?"""

from typing import Any

from statsmodels.stats.weightstats import DescrStatsW

from .finite import finite

MARGIN = 0.5  # points of MAP@R below which a difference is taken as irrelevant


def equivalence_p(differences: Any, margin: float = MARGIN) -> float | None:
    r"""p-value of the two one-sided t-tests (TOST); None for one difference, whose spread is unknown.

    .. math:: p = \max\Big(P\big(T_{n-1} > \tfrac{\bar d + m}{s / \sqrt n}\big),
        P\big(T_{n-1} < \tfrac{\bar d - m}{s / \sqrt n}\big)\Big)

    The null hypothesis is a true mean difference of at least ``margin`` in absolute value. p is at most .05
    exactly if the 90 % t-interval is within the margin. A large p shows nothing: few seeds or a wide spread give one
    whatever is true.

    Args:
        differences: (n,), one paired difference per seed, n at least 1.
        margin: above 0, in units of the differences; to be chosen before the runs are seen.

    Source: Schuirmann, "A comparison of the two one-sided tests procedure and the power approach", Journal of
    Pharmacokinetics and Biopharmaceutics 1987; ``statsmodels.stats.weightstats.DescrStatsW.ttost_mean``.

    Example:
        >>> equivalence_p([-0.1, 0.0, 0.1], margin=0.5) < 0.05 < equivalence_p([-1.0, 0.0, 1.0], margin=0.5)
        True
    """
    if not margin > 0:
        raise ValueError(f"margin must be above 0, but got {margin}")
    sample = finite(differences, "differences")
    if len(sample) < 2:
        return None
    if sample.std() == 0:  # t is undefined, and the mean is known
        return float(abs(sample.mean()) >= margin)
    return float(DescrStatsW(sample).ttost_mean(-margin, margin)[0])
