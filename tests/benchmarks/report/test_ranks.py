import pytest

from benchmarks.report.ranks import ranks
from benchmarks.report.summary import summarize
from benchmarks.runs.reader import read_runs


def on(canned, data, levels, seeds=2):
    for method, level in levels.items():
        for seed in range(seeds):
            canned.write("triplet", method, seed=seed, map_at_r=level + 0.01 * seed, data__name=data)


def ranked(canned):
    return ranks(summarize(read_runs(canned.root)))


def test_ranks_are_averaged_over_data_sets(canned):
    on(canned, "glyphs", {"none": 0.5, "ee": 0.6, "ps": 0.55})
    on(canned, "emoji", {"none": 0.5, "ee": 0.45, "ps": 0.55})
    result = ranked(canned)
    assert [(row.method, row.mean) for row in result.rows] == [("ps", 1.5), ("ee", 2.0), ("none", 2.5)]
    assert dict(zip(result.data, result.rows[1].by_data, strict=True)) == {"emoji": 3, "glyphs": 1}
    assert result.friedman_p is None


def test_only_what_every_data_set_has_is_ranked(canned):
    on(canned, "glyphs", {"none": 0.5, "ee": 0.6, "ps": 0.7})
    on(canned, "emoji", {"none": 0.5, "ee": 0.6})
    assert [row.method for row in ranked(canned).rows] == ["ee", "none"]


def test_ten_data_sets_are_tested(canned):
    for number in range(10):
        on(canned, f"set {number}", {"none": 0.5, "ee": 0.6, "ps": 0.55}, seeds=1)
    result = ranked(canned)
    assert result.friedman_p == pytest.approx(4.54e-5, rel=1e-2)  # chi-squared of 20 with 2 degrees of freedom
    assert result.critical_difference == pytest.approx(1.048, abs=1e-3)  # q of 3 at 5 % is 2.343


def test_one_data_set_is_not_ranked(canned):
    on(canned, "glyphs", {"none": 0.5, "ee": 0.6})
    assert ranked(canned) is None
