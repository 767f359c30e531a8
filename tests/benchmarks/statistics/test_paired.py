import operator

import pytest

from benchmarks.statistics import over_seeds, paired_by_seed

BASELINE = {(0, 0): 0.10, (0, 1): 0.30, (1, 0): 0.20, (1, 1): 0.40}
METHOD = {(0, 0): 0.12, (0, 1): 0.36, (1, 0): 0.20, (1, 1): 0.38}


def test_folds_are_averaged_within_each_seed():
    assert over_seeds(BASELINE) == pytest.approx([0.2, 0.3])


def test_paired_difference_is_averaged_over_folds():
    assert paired_by_seed(METHOD, BASELINE) == pytest.approx([(0.02 + 0.06) / 2, (0.00 - 0.02) / 2])


def test_ratios_are_taken_within_each_pair():
    assert paired_by_seed(METHOD, BASELINE, operator.truediv) == pytest.approx([(1.2 + 1.2) / 2, (1.0 + 0.95) / 2])


def test_order_of_the_scores_does_not_matter():
    assert over_seeds(dict(reversed(BASELINE.items()))).tolist() == over_seeds(BASELINE).tolist()


def test_unpaired_scores_are_refused_by_name():
    with pytest.raises(ValueError, match=r"only one of them has \[\(1, 1\)\]"):
        paired_by_seed({pair: METHOD[pair] for pair in list(METHOD)[:3]}, BASELINE)


def test_a_seed_that_lacks_a_fold_is_refused_by_name():
    with pytest.raises(ValueError, match=r"missing: \[\(1, 1\)\]"):
        over_seeds({pair: BASELINE[pair] for pair in list(BASELINE)[:3]})


def test_no_scores_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        over_seeds({})


def test_a_nan_score_is_refused():
    with pytest.raises(ValueError, match=r"scores must be finite, but got nan at position \[1, 0\]"):
        over_seeds({(0, 0): 0.1, (1, 0): float("nan")})
