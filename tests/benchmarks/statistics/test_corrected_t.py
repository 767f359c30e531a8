import math

import pytest
from scipy import stats

from benchmarks.statistics import corrected_resampled_t


def test_p_and_interval_of_four_folds_by_hand():
    # mean 2, variance 2/3; (1/4 + 1/3) 2/3 = 7/18
    result = corrected_resampled_t([1, 2, 3, 2], 1 / 3)
    scale = math.sqrt(7 / 18)
    assert result.p == pytest.approx(2 * stats.t.sf(2 / scale, 3))
    assert result.interval == pytest.approx((2 - 3.182446 * scale, 2 + 3.182446 * scale), abs=1e-5)


def test_without_overlap_it_is_the_plain_t_test():
    sample = [0.3, -0.1, 0.5, 0.2]
    assert corrected_resampled_t(sample, 1e-12).p == pytest.approx(stats.ttest_1samp(sample, 0).pvalue)


def test_more_overlap_makes_p_larger():
    assert corrected_resampled_t([1, 2, 3], 1).p > corrected_resampled_t([1, 2, 3], 1 / 3).p


def test_equal_folds_have_an_interval_without_width():
    assert corrected_resampled_t([0.5, 0.5], 1 / 3) == (0, (0.5, 0.5))
    assert corrected_resampled_t([0.0, 0.0], 1 / 3) == (1, (0, 0))


def test_one_fold_claims_nothing():
    assert corrected_resampled_t([0.5], 1 / 3) is None


def test_a_share_of_nothing_is_refused():
    with pytest.raises(ValueError, match="validation_share must be above 0, but got 0"):
        corrected_resampled_t([1, 2], 0)
