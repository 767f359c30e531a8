"""Level and power in small form; docs/statistics.md has the large one."""

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.statistics import sign_flip_p
from benchmarks.statistics.sign_flip import sign_flip_ps

sys.path.append(str(Path(__file__).parents[3] / "docs"))
import simulation  # noqa: E402


def within(share: simulation.Share, expected: float, errors: float = 4) -> bool:
    return abs(share.value - expected) <= errors * max(share.standard_error, 0.5 / share.experiments)


def test_p_values_of_many_samples_are_those_of_each():
    samples = np.random.default_rng(0).normal(0.5, 1, (6, 6)).round(1)  # rounded, so that sums tie
    assert sign_flip_ps(samples) == pytest.approx([sign_flip_p(sample) for sample in samples])


def test_sign_flip_keeps_its_level_and_finds_large_effects():
    assert within(simulation.sign_flip_rejects(6, 0, 2000), 2 / 64)
    assert within(simulation.sign_flip_rejects_heavy_tailed(6, 2000), 2 / 64)
    assert within(simulation.sign_flip_rejects(10, 1.5, 500), 0.985)


def test_five_seeds_never_reach_five_percent():
    assert simulation.sign_flip_rejects(5, 10, 50).value == 0


@pytest.mark.slow
def test_holm_holds_the_family_where_single_tests_do_not():
    alone = simulation.family_rejects(5, 8, 400, corrected=False)
    together = simulation.family_rejects(5, 8, 60, corrected=True)
    assert within(alone, 1 - (1 - 12 / 256) ** 5)  # the largest attainable level at 8 seeds is 12 / 256
    assert together.value <= 0.05 + 4 * together.standard_error


@pytest.mark.slow
def test_what_is_called_detectable_among_several_is_found():
    assert within(simulation.detectable_effect_found(5, 9, 300), 0.8)


def test_equivalence_errs_in_five_percent_at_the_margin_and_is_found_inside_it():
    assert within(simulation.equivalence_found(10, 2, 2, 600), 0.05)
    assert simulation.equivalence_found(10, 0, 2, 100).value >= 0.95


@pytest.mark.slow
def test_intervals_over_classes_cover_and_intervals_over_single_queries_do_not():
    assert within(simulation.class_interval_covers(60, 150, resamples=299), 0.94)
    assert simulation.class_interval_covers(60, 100, resamples=299, by_query=True).value < 0.75


def test_the_corrected_test_keeps_its_level_over_folds_where_the_plain_one_does_not():
    assert within(simulation.folds_reject(4, 0, 600, corrected=True), 0.05)
    assert simulation.folds_reject(4, 0, 600, corrected=False).value > 0.08
    assert simulation.folds_reject(4, 4, 100, corrected=True).value > 0.85


@pytest.mark.slow
@pytest.mark.parametrize("title", ["Sign-flip test over seeds", "Equivalence (TOST)", "Four folds"])
def test_tables_have_a_cell_under_each_head(title, small_tables):
    heads, rows = small_tables[title]
    assert rows and all(len(row) == len(heads) for row in rows)
    assert all("±" in row[-1] for row in rows)


@pytest.fixture(scope="module")
def small_tables():
    return simulation.tables(4)
