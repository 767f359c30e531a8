"""Power analysis of the sign-flip test."""

from bisect import bisect_left
from functools import lru_cache
from typing import Any

import numpy as np
from statsmodels.stats.power import TTestPower

from .finite import finite
from .sign_flip import sign_flip_ps, smallest_p

SIMULATED_UP_TO = 12  # seeds; with more, the t-test's power is the sign-flip test's within three points
SAMPLES = 4000
STEPS = 100  # of an effect, to a standard deviation
LARGEST = 20 * STEPS


@lru_cache(maxsize=4096)
def sign_flip_power(seeds: int, effect_size: float, level: float = 0.05) -> float:
    r"""Power of the sign-flip test for normal differences: how often its p is at most ``level``.

    Up to 12 seeds, the share of 4,000 samples from a generator that starts from 0; beyond, the power of the paired
    t-test, :math:`P(|T'_{n-1}(\delta \sqrt n)| > t_{n-1, 1-\alpha/2})` with the noncentral t.

    Args:
        seeds: at least 2.
        effect_size: the true mean difference in standard deviations.
        level: of the two-sided test, after any correction for several comparisons.

    Source: Cohen, "Statistical power analysis for the behavioral sciences", 1988, chapter 2;
    ``statsmodels.stats.power.TTestPower``.

    Example:
        >>> sign_flip_power(seeds=5, effect_size=3.0)  # its smallest p is .0625
        0.0
    """
    if seeds > SIMULATED_UP_TO:
        return float(TTestPower().power(effect_size=effect_size, nobs=seeds, alpha=level))
    samples = np.random.default_rng(0).normal(effect_size, 1, (SAMPLES, seeds))
    return float(np.mean(sign_flip_ps(samples) <= level))


def minimum_detectable_effect(
    differences: Any, comparisons: int = 1, power: float = 0.8, alpha: float = 0.05
) -> float | None:
    """The true mean difference that the sign-flip test finds with probability ``power`` on this number of seeds.

    In units of the differences, whose standard deviation is taken for the true one. None for one difference, whose
    spread is unknown, and where no difference is large enough.

    Args:
        differences: (n,), one paired difference per seed, n at least 1.
        comparisons: in Holm's family; at alpha / comparisons it is found whatever the others are.
        power: between ``alpha`` and 1.
        alpha: two-sided level of the family.

    Example:
        >>> round(minimum_detectable_effect([-1.0, 1.0] * 5, comparisons=7), 1)  # standard deviation 1.05
        1.6
    """
    sample = finite(differences, "differences")
    level = alpha / comparisons
    if len(sample) < 2 or smallest_p(len(sample)) > level:
        return None

    def is_found(steps: int) -> bool:  # True also where the effect is so large that its power overflows
        return not sign_flip_power(len(sample), steps / STEPS, level) < power

    return float(bisect_left(range(LARGEST), True, key=is_found) / STEPS * sample.std(ddof=1))


def seeds_to_detect(
    differences: Any, effect: float, comparisons: int = 1, power: float = 0.8, alpha: float = 0.05
) -> int | None:
    """The fewest seeds with which the sign-flip test finds a true mean of ``effect`` with probability ``power``.

    The spread is taken to be that of ``differences``, which few seeds estimate badly. None where it is unknown or 0.

    Args:
        differences: (n,), one paired difference per seed, n at least 1.
        effect: above 0, in units of the differences.
        comparisons, power, alpha: as for :func:`minimum_detectable_effect`.

    Example:
        >>> [seeds_to_detect([-s / 2**0.5, s / 2**0.5], 0.5) for s in (0.3, 0.5, 0.7)]  # s: standard deviation
        [7, 11, 18]
    """
    if not effect > 0:
        raise ValueError(f"effect must be above 0, but got {effect}")
    sample = finite(differences, "differences")
    if len(sample) < 2 or sample.std() == 0:
        return None
    size = float(effect / sample.std(ddof=1))

    def misses(seeds: int) -> bool:  # False also where the effect is so large that its power overflows
        return sign_flip_power(seeds, size, alpha / comparisons) < power

    enough = 2
    while misses(enough):
        enough *= 2
    return bisect_left(range(enough), True, lo=2, key=lambda seeds: not misses(seeds))
