import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from benchmarks.statistics import holm


def test_adjusted_values_by_hand():
    # sorted .01 .02 .03 .04 times 4 3 2 1 is .04 .06 .06 .04; the running maximum is .04 .06 .06 .06
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_every_bit_is_that_of_statsmodels():
    random = np.random.default_rng(0)
    for size in (5, 24):
        for p_values in (random.uniform(size=size), random.integers(1, 9, size) / 256):  # the second with ties
            assert holm(p_values.tolist()) == multipletests(p_values, method="holm")[1].tolist()


def test_adjusted_values_stop_at_one():
    assert holm([0.6, 0.7]) == [1.0, 1.0]


def test_one_comparison_stays_as_it_is():
    assert holm([0.03125]) == [0.03125]


def test_an_empty_family_stays_empty():
    assert holm([]) == []


def test_a_nan_is_refused():
    with pytest.raises(ValueError, match="p_values must be finite"):
        holm([0.5, float("nan")])
