import numpy as np
import pytest
from scipy import stats

from benchmarks.statistics import minimum_detectable_effect, seeds_to_detect


def differences(num_seeds: int, standard_deviation: float) -> np.ndarray:
    values = np.arange(float(num_seeds))
    return values / values.std(ddof=1) * standard_deviation


@pytest.mark.parametrize(("num_seeds", "standard_deviation"), [(6, 0.3), (10, 0.5), (18, 0.7)])
def test_half_a_point_is_seen_with_the_planned_seeds_and_not_with_one_fewer(num_seeds, standard_deviation):
    assert minimum_detectable_effect(differences(num_seeds, standard_deviation)) <= 0.5
    assert minimum_detectable_effect(differences(num_seeds - 1, standard_deviation)) > 0.5


def test_the_effect_has_the_power_asked_for_by_the_noncentral_t():
    n, effect = 6, minimum_detectable_effect(differences(6, 1.0), power=0.9)
    critical = stats.t.ppf(0.975, n - 1)
    shifted = stats.nct(n - 1, effect * np.sqrt(n))
    assert shifted.sf(critical) + shifted.cdf(-critical) == pytest.approx(0.9, abs=1e-6)


def test_equal_differences_leave_nothing_to_hide_behind():
    assert minimum_detectable_effect([0.1, 0.1, 0.1]) == pytest.approx(0, abs=1e-12)


def test_one_difference_has_no_known_spread():
    assert minimum_detectable_effect([0.1]) is None


@pytest.mark.parametrize(("standard_deviation", "num_seeds"), [(0.3, 6), (0.5, 10), (0.7, 18), (5.0, 787)])
def test_so_many_seeds_and_not_one_fewer_see_half_a_point(standard_deviation, num_seeds):
    assert seeds_to_detect(differences(5, standard_deviation), 0.5) == num_seeds


@pytest.mark.parametrize("standard_deviation", [0.05, 1e-3, 1e-9])
def test_a_spread_of_next_to_nothing_needs_few_seeds(standard_deviation):
    assert 2 <= seeds_to_detect(differences(4, standard_deviation), 0.5) <= 3


def test_an_unknown_spread_asks_for_no_number_of_seeds():
    assert seeds_to_detect([0.1], 0.5) is seeds_to_detect([0.1, 0.1], 0.5) is None


def test_an_effect_of_nothing_is_refused():
    with pytest.raises(ValueError, match="effect must be above 0, but got 0"):
        seeds_to_detect([0.1, 0.2], 0)
