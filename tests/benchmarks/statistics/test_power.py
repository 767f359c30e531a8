import numpy as np
import pytest
from scipy import stats

from benchmarks.statistics import minimum_detectable_effect


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
