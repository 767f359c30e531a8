import numpy as np
import pytest
from scipy import stats

from benchmarks.statistics import ENOUGH_DATA_SETS, ranking


def scores(data_sets: int, contestants: int, seeds: int = 1, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).normal(size=(data_sets, contestants, seeds)))


def test_mean_ranks_by_hand_with_a_tie():
    result = ranking([[[0.9], [0.5], [0.5]], [[0.1], [0.3], [0.2]]])
    assert result.mean_ranks == [2.0, 1.75, 2.25]  # ranks 1 2.5 2.5 and 3 1 2


def test_few_data_sets_are_not_tested():
    result = ranking(scores(ENOUGH_DATA_SETS - 1, 4))
    assert result.friedman_p is None and result.critical_difference is None


def test_enough_data_sets_are_tested_as_scipy_and_the_textbook_do():
    table = scores(ENOUGH_DATA_SETS, 5)
    result = ranking(table)
    assert result.friedman_p == pytest.approx(stats.friedmanchisquare(*np.array(table)[..., 0].T).pvalue)
    # q at 5 % for 5 contestants is 2.728 (Demsar 2006, table 5)
    assert result.critical_difference == pytest.approx(2.728 * np.sqrt(5 * 6 / (6 * ENOUGH_DATA_SETS)), abs=1e-3)


def test_two_contestants_have_no_friedman_test():
    assert ranking(scores(12, 2)).friedman_p is None


def test_one_data_set_with_seeds_is_as_uncertain_as_its_seeds():
    apart = ranking([[[0.9, 0.91, 0.92], [0.1, 0.11, 0.12]]])
    assert apart.intervals == [(1, 1), (2, 2)]
    close = ranking([[[0.5, 0.1, 0.3], [0.2, 0.4, 0.25]]])
    assert close.intervals == [(1, 2), (1, 2)]


def test_one_data_set_with_one_seed_has_ranks_and_no_intervals():
    assert ranking([[[0.9], [0.1]]]) == ([1, 2], [None, None], None, None)


def test_data_sets_that_disagree_widen_the_interval():
    agree = ranking([[[0.9], [0.1]]] * 4)
    disagree = ranking([[[0.9], [0.1]], [[0.1], [0.9]]] * 2)
    assert agree.intervals[0] == (1, 1) and disagree.intervals[0] == (1, 2)


def test_different_contestants_are_refused():
    with pytest.raises(ValueError, match="the same contestants in each"):
        ranking([[[0.9], [0.1]], [[0.9], [0.1], [0.2]]])
