"""Holm's correction for a family of comparisons."""

from collections.abc import Sequence

from statsmodels.stats.multitest import multipletests

from benchmarks.statistics.finite import finite


def holm(p_values: Sequence[float]) -> list[float]:
    r"""Holm-adjusted p-values, in the order given: those at most .05 keep the family-wise error at 5 %.

    .. math:: \tilde p_{(k)} = \max_{j \le k} \min(1, (m - j + 1) \, p_{(j)})

    An adjusted p never falls when any of the p-values rises, so ``holm`` of the smallest reachable p-values gives the
    smallest reachable adjusted ones.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979;
    ``statsmodels.stats.multitest.multipletests``.

    Example:
        >>> holm([0.25, 0.0625])
        [0.25, 0.125]
    """
    if not len(p_values):
        return []
    return [float(p) for p in multipletests(finite(p_values, "p_values"), method="holm")[1]]
