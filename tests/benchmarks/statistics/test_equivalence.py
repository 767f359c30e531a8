import numpy as np
import pytest
from scipy import stats

from benchmarks.statistics import equivalence_p, t_interval


def test_p_is_the_larger_of_two_one_sided_t_tests():
    sample = np.array([0.1, 0.3, -0.2, 0.4])
    above = stats.ttest_1samp(sample, -0.5, alternative="greater").pvalue
    below = stats.ttest_1samp(sample, 0.5, alternative="less").pvalue
    assert equivalence_p(sample, 0.5) == pytest.approx(max(above, below))


@pytest.mark.parametrize("seed", range(20))
def test_p_is_small_exactly_when_the_90_percent_interval_lies_within_the_margin(seed):
    sample = np.random.default_rng(seed).normal(0.1, 0.5, 6)
    low, high = t_interval(sample, confidence=0.9)
    assert (equivalence_p(sample, 0.5) <= 0.05) == (low >= -0.5 and high <= 0.5)


def test_both_directions_count_alike():
    assert equivalence_p([0.1, 0.2, 0.4]) == pytest.approx(equivalence_p([-0.1, -0.2, -0.4]))


def test_equal_differences_are_known_for_sure():
    assert equivalence_p([0.25, 0.25, 0.25]) == 0
    assert equivalence_p([0.5, 0.5]) == 1


def test_one_difference_shows_no_equivalence():
    assert equivalence_p([0.0]) is None


def test_a_margin_of_nothing_is_refused():
    with pytest.raises(ValueError, match="margin must be above 0, but got 0"):
        equivalence_p([0.1, 0.2], margin=0)
