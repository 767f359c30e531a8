import itertools

import numpy as np
import pytest

from benchmarks.statistics import holm, seeds_to_reach, sign_flip_p, smallest_p


def enumerated(differences):
    signs = np.array(list(itertools.product([-1, 1], repeat=len(differences))))
    return np.mean(np.abs(signs @ differences) >= abs(np.sum(differences)) - 1e-12)


@pytest.mark.parametrize("num_seeds", [2, 3, 5, 8])
def test_p_is_the_share_of_sign_patterns_that_are_as_extreme(num_seeds):
    differences = np.random.default_rng(num_seeds).normal(0.5, 1, num_seeds)
    assert sign_flip_p(differences) == pytest.approx(enumerated(differences))


@pytest.mark.parametrize(("num_seeds", "p"), [(1, 1.0), (2, 0.5), (5, 0.0625), (6, 0.03125), (10, 2**-9)])
def test_differences_of_one_sign_reach_the_smallest_p(num_seeds, p):
    differences = np.arange(1.0, num_seeds + 1)
    assert sign_flip_p(differences) == sign_flip_p(-differences) == smallest_p(num_seeds) == p


def test_no_difference_at_all_has_p_one():
    assert sign_flip_p([0.0, 0.0, 0.0]) == 1.0


@pytest.mark.slow
def test_many_seeds_are_drawn_instead_of_enumerated_and_repeat():
    differences = np.random.default_rng(0).normal(0.3, 1, 20)
    assert sign_flip_p(differences) == sign_flip_p(differences) == pytest.approx(enumerated(differences), abs=0.005)


def test_many_seeds_cannot_go_below_what_was_drawn():
    assert sign_flip_p(np.arange(1.0, 31.0)) == smallest_p(30)


def test_level_is_kept_when_nothing_differs():
    samples = np.random.default_rng(4).normal(size=(400, 6))
    assert np.mean([sign_flip_p(sample) <= 0.05 for sample in samples]) == pytest.approx(2 / 64, abs=0.027)  # 3 s.e.


def test_six_seeds_reach_five_percent_and_eight_do_after_holm_over_four():
    assert smallest_p(seeds_to_reach(0.05)) <= 0.05 < smallest_p(seeds_to_reach(0.05) - 1)
    needed = seeds_to_reach(0.05, num_comparisons=4)
    assert max(holm([smallest_p(needed)] * 4)) <= 0.05 < min(holm([smallest_p(needed - 1)] * 4))


def test_impossible_arguments_are_refused():
    with pytest.raises(ValueError, match="num_seeds must be at least 1, but got 0"):
        smallest_p(0)
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1, but got 5"):
        seeds_to_reach(5)
    with pytest.raises(ValueError, match="differences must be finite, but got inf"):
        sign_flip_p([float("inf"), 1.0])
