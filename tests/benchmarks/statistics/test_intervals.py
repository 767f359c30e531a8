import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.statistics import bootstrap_interval, t_interval


def test_t_interval_of_three_values_by_hand():
    # mean 2, standard deviation 1, t_{2, .975} = 4.302653
    half = 4.302653 / math.sqrt(3)
    assert t_interval([1.0, 2.0, 3.0]) == pytest.approx((2 - half, 2 + half), abs=1e-6)


def test_t_interval_agrees_with_scipy():
    values = np.random.default_rng(1).normal(size=10)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert t_interval(values, confidence=0.9) == pytest.approx((expected.low, expected.high))


def test_t_interval_covers_the_mean_in_95_percent_of_samples_of_six():
    samples = np.random.default_rng(2).normal(size=(2000, 6))
    covered = np.mean([low <= 0 <= high for low, high in map(t_interval, samples)])
    assert covered == pytest.approx(0.95, abs=0.015)  # 3 standard errors of a share over 2000 samples


def test_bootstrap_of_two_values_takes_both_ends():
    # the means of two drawn with replacement are 0, 0.5 and 1 with chances 1/4, 1/2, 1/4
    assert bootstrap_interval([0.0, 1.0]) == (0.0, 1.0)


def test_bootstrap_quantiles_agree_with_all_resamples_of_three():
    values = np.array([0.0, 1.0, 3.0])
    every = [np.mean(values[[i, j, k]]) for i in range(3) for j in range(3) for k in range(3)]
    expected = (np.quantile(every, 0.1, method="inverted_cdf"), np.quantile(every, 0.9, method="inverted_cdf"))
    assert bootstrap_interval(values, confidence=0.8) == pytest.approx(expected)


def test_bootstrap_gives_the_same_interval_twice():
    values = np.random.default_rng(3).normal(size=6)
    assert bootstrap_interval(values) == bootstrap_interval(values)


def test_equal_values_have_an_interval_without_width():
    assert bootstrap_interval([0.5, 0.5, 0.5]) == t_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


@pytest.mark.parametrize("interval", [t_interval, bootstrap_interval])
def test_one_value_has_no_interval(interval):
    assert interval([0.5]) is None


@pytest.mark.parametrize("interval", [t_interval, bootstrap_interval])
def test_a_nan_value_is_refused(interval):
    with pytest.raises(ValueError, match=r"values must be finite, but got nan at position \[1\]"):
        interval([0.5, float("nan")])
