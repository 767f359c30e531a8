import itertools

import numpy as np
import pytest

from benchmarks.statistics import expected_best


def test_it_is_the_mean_over_all_subsets():
    values = [0.3, 0.9, 0.1, 0.5, 0.5]
    expected = [np.mean([max(s) for s in itertools.combinations(values, n)]) for n in range(1, 6)]
    assert expected_best(values) == pytest.approx(expected)


def test_one_trial_expects_the_mean_and_all_of_them_the_best():
    values = np.random.default_rng(0).normal(size=200)
    curve = expected_best(values)
    assert curve[0] == pytest.approx(values.mean()) and curve[-1] == pytest.approx(values.max())
    assert (np.diff(curve) >= -1e-12).all()


def test_no_trial_is_refused():
    with pytest.raises(ValueError, match="at least one trial"):
        expected_best([])
