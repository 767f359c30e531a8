import math
from dataclasses import replace

import pytest
from scipy import stats

from benchmarks.report.summary import summarize
from benchmarks.runs.reader import read_runs

BASELINE = [0.50, 0.52, 0.54]
METHOD = [0.51, 0.55, 0.56]  # differences of 1, 3 and 2 points: mean 2, standard deviation 1


@pytest.fixture
def three_seeds(canned):
    for seed, (baseline, method) in enumerate(zip(BASELINE, METHOD, strict=True)):
        canned.write("triplet", seed=seed, map_at_r=baseline, seconds=0.01, cost__seconds_per_step=0.01 + 0.001 * seed)
        canned.write("triplet", "ee", seed=seed, map_at_r=method, cost__seconds_per_step=0.02 + 0.002 * seed)
    return summarize(read_runs(canned.root))


def test_levels_are_means_over_seeds_in_points(three_seeds):
    baseline, method = three_seeds.data_sets[0].cells
    assert (baseline.method, method.method) == ("none", "ee")
    level = baseline.score("mean_average_precision_at_r")
    assert level.mean == pytest.approx(52)
    half = 4.302653 * 2 / math.sqrt(3)  # t_{2, .975} times standard deviation over the root of n
    assert level.interval == pytest.approx((52 - half, 52 + half), abs=1e-5)


def test_the_difference_is_paired(three_seeds):
    (comparison,) = three_seeds.comparisons
    assert comparison.primary.per_seed == pytest.approx([1, 3, 2])
    half = 4.302653 / math.sqrt(3)  # far narrower than the levels' intervals
    assert comparison.primary.interval == pytest.approx((2 - half, 2 + half), abs=1e-5)
    assert comparison.bootstrap == pytest.approx((1, 3))
    assert comparison.difference("r_precision").mean == pytest.approx(0.9 * 2)  # as the canned scores are made
    assert (comparison.p, comparison.smallest_p) == (0.25, 0.25)
    assert comparison.detectable is None  # no difference is large enough for 3 seeds


def test_step_time_is_a_ratio_within_pairs(three_seeds):
    assert three_seeds.comparisons[0].slowdown.per_seed == pytest.approx([2, 2, 2])


def test_folds_are_averaged_and_do_not_count_as_seeds(canned):
    scores = {("none", 0): 0.5, ("none", 1): 0.6, ("ee", 0): 0.51, ("ee", 1): 0.63}
    for (method, fold), score in scores.items():
        for seed in (0, 1):
            canned.write("triplet", method, fold, seed, map_at_r=score + 0.01 * seed)
    (comparison,) = summarize(read_runs(canned.root)).comparisons
    assert comparison.num_seeds == 2
    assert comparison.primary.per_seed == pytest.approx([2, 2])


def test_holm_counts_all_comparisons_of_the_report(canned):
    for data in ("glyphs", "emoji"):
        for seed in range(2):
            for method, gain in (("none", 0.0), ("ee", 0.01), ("ps", 0.02)):
                canned.write("proxy_nca", method, seed=seed, map_at_r=0.5 + gain + 0.001 * seed, data__name=data)
    summary = summarize(read_runs(canned.root))
    assert [table.data for table in summary.data_sets] == ["emoji", "glyphs"]
    assert [comparison.p for comparison in summary.comparisons] == [0.5] * 4
    assert [comparison.holm_p for comparison in summary.comparisons] == [1.0] * 4


def test_inflation_is_what_the_oracle_adds(canned):
    for seed, added in enumerate([0.01, 0.03]):
        canned.write("triplet", seed=seed, map_at_r=0.5)
        canned.edit(
            sorted(canned.root.iterdir(), key=lambda folder: folder.stat().st_mtime_ns)[-1],
            lambda result, added=added: result["selection"]["test"]["test"].update(
                mean_average_precision_at_r=0.5 + added
            ),
        )
    (cell,) = summarize(read_runs(canned.root)).data_sets[0].cells
    assert sorted(cell.inflation("test").per_seed) == pytest.approx([1, 3])
    assert cell.inflation("validation").per_seed == (0, 0)


def test_one_seed_has_a_mean_and_no_interval(canned):
    canned.suite(["triplet"], ["ee"], seeds=1)
    (comparison,) = summarize(read_runs(canned.root)).comparisons
    assert comparison.primary.interval is comparison.bootstrap is comparison.detectable is None
    assert comparison.p == comparison.holm_p == comparison.smallest_p == 1


def test_memory_is_the_highest_peak_and_unknown_when_one_run_lacks_it(canned):
    canned.write("triplet", seed=0, cost__peak_memory_bytes=100)
    canned.write("triplet", seed=1, cost__peak_memory_bytes=300)
    canned.write("proxy_nca", seed=0, cost__peak_memory_bytes=100)
    canned.write("proxy_nca", seed=1, cost__peak_memory_bytes=None)
    nca, triplet = summarize(read_runs(canned.root)).data_sets[0].cells
    assert (nca.peak_memory_bytes, triplet.peak_memory_bytes) == (None, 300)


def test_equivalence_is_tested_within_the_margin_and_adjusted(canned):
    for loss, gains in (("triplet", [0.1, -0.1, 0.2, 0.0]), ("proxy_nca", [3, 1, 2, 2])):
        for seed, gain in enumerate(gains):
            canned.write(loss, seed=seed, map_at_r=0.5)
            canned.write(loss, "ee", seed=seed, map_at_r=0.5 + gain / 100)
    far, near = summarize(read_runs(canned.root), margin=0.5).comparisons
    assert near.equivalence_p < 0.02 < 0.5 < far.equivalence_p
    assert near.holm_equivalence_p == pytest.approx(2 * near.equivalence_p)
    assert summarize(read_runs(canned.root), margin=0.01).comparisons[1].equivalence_p > 0.5


def test_the_interval_over_classes_is_that_of_the_queries(three_seeds):
    (comparison,) = three_seeds.comparisons
    low, high = comparison.over_classes
    assert low < 2 < high


def test_folds_are_judged_by_the_corrected_test(canned):
    for fold, gain in enumerate([1, 2, 3, 2]):
        for seed in range(2):
            canned.write("triplet", fold=fold, seed=seed, map_at_r=0.5)
            canned.write("triplet", "ee", fold=fold, seed=seed, map_at_r=0.5 + gain / 100)
    (comparison,) = summarize(read_runs(canned.root)).comparisons
    share = 150 / 460  # validation and training images of the canned runs
    t = 2 / math.sqrt((1 / 4 + share) * 2 / 3)
    assert comparison.fold_level.p == pytest.approx(2 * stats.t.sf(t, 3))


def test_choosing_on_the_test_set_for_one_side_alone_is_measured(canned):
    canned.write("triplet", map_at_r=0.5)
    folder = canned.write("triplet", "ee", map_at_r=0.51)
    canned.edit(folder, lambda r: r["selection"]["test"]["test"].update(mean_average_precision_at_r=0.53))
    (comparison,) = summarize(read_runs(canned.root)).comparisons
    assert comparison.primary.mean == pytest.approx(1)
    assert comparison.published_style.mean == pytest.approx(3)


def test_runs_scored_once_have_one_rule(canned):
    canned.once("triplet", "none")
    canned.once("triplet", "ee")
    summary = summarize(read_runs(canned.root))
    assert summary.data_sets[0].rules == ("validation",)
    assert summary.comparisons[0].published_style is None


def test_what_is_detectable_depends_on_how_much_is_compared(canned):
    for seed, difference in enumerate([1, -1, 2, -2, 3, -3, 1, -1, 2]):
        for loss in ("triplet", "contrastive"):
            canned.write(loss, seed=seed, map_at_r=0.5)
            canned.write(loss, "ee", seed=seed, map_at_r=0.5 + difference / 100)
    one_of_two = summarize(read_runs(canned.root)).comparisons[0]
    assert one_of_two.detectable > 1.1 * replace(one_of_two, family=1).detectable
