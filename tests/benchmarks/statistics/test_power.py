import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from benchmarks.statistics import minimum_detectable_effect, seeds_to_detect, sign_flip_p
from benchmarks.statistics.power import sign_flip_power


def differences(num_seeds: int, standard_deviation: float) -> np.ndarray:
    values = np.arange(float(num_seeds))
    return values / values.std(ddof=1) * standard_deviation


@pytest.mark.slow
def test_few_seeds_have_the_power_of_the_test_that_decides():
    samples = np.random.default_rng(5).normal(1.5, 1, (400, 8))
    found = np.mean([sign_flip_p(sample) <= 0.02 for sample in samples])
    assert sign_flip_power(8, 1.5, level=0.02) == pytest.approx(found, abs=4 * np.sqrt(0.25 / 400))


def test_many_seeds_have_that_of_the_noncentral_t():
    critical, shifted = stats.t.ppf(0.975, 19), stats.nct(19, 0.7 * np.sqrt(20))
    assert sign_flip_power(20, 0.7) == pytest.approx(shifted.sf(critical) + shifted.cdf(-critical), abs=1e-6)


def test_the_two_meet():
    assert sign_flip_power(12, 0.9) == pytest.approx(TTestPower().power(0.9, 12, 0.05), abs=0.03)


@pytest.mark.parametrize("num_seeds", [9, 30])
@pytest.mark.parametrize("comparisons", [1, 7])
def test_the_detectable_effect_is_found_in_four_of_five(num_seeds, comparisons):
    effect = minimum_detectable_effect(differences(num_seeds, 1.0), comparisons)
    assert sign_flip_power(num_seeds, effect, 0.05 / comparisons) == pytest.approx(0.8, abs=0.02)


def test_more_comparisons_hide_more():
    alone, among_seven = (minimum_detectable_effect(differences(9, 1.0), m) for m in (1, 7))
    assert among_seven > 1.5 * alone


def test_where_nothing_can_be_established_no_effect_is_detectable():
    assert minimum_detectable_effect(differences(5, 1.0)) is None
    assert minimum_detectable_effect(differences(8, 1.0), comparisons=7) is None


def test_equal_differences_leave_nothing_to_hide_behind():
    assert minimum_detectable_effect([0.1] * 6) == pytest.approx(0, abs=1e-12)


def test_one_difference_has_no_known_spread():
    assert minimum_detectable_effect([0.1]) is None


@pytest.mark.parametrize(("standard_deviation", "num_seeds"), [(0.3, 7), (0.5, 11), (0.7, 18), (5.0, 787)])
def test_so_many_seeds_and_not_one_fewer_see_half_a_point(standard_deviation, num_seeds):
    assert seeds_to_detect(differences(5, standard_deviation), 0.5) == num_seeds


@pytest.mark.parametrize("standard_deviation", [0.05, 1e-3, 1e-9])
def test_a_spread_of_next_to_nothing_needs_few_seeds(standard_deviation):
    assert seeds_to_detect(differences(4, standard_deviation), 0.5) == 6  # the fewest whose smallest p is below .05


def test_an_unknown_spread_asks_for_no_number_of_seeds():
    assert seeds_to_detect([0.1], 0.5) is seeds_to_detect([0.1, 0.1], 0.5) is None


def test_an_effect_of_nothing_is_refused():
    with pytest.raises(ValueError, match="effect must be above 0, but got 0"):
        seeds_to_detect([0.1, 0.2], 0)
