"""Reports on runs that no fold validates, as the published ones: the last epoch counts."""

import csv
import io
import json
import re

import pytest

from benchmarks.errors import UserError
from benchmarks.report.compare import compare
from benchmarks.report.contents import contents_of
from benchmarks.report.markdown import write_markdown
from benchmarks.report.summary import summarize
from benchmarks.report.verdicts import which_epoch
from benchmarks.report.write import read_summary, write_report
from benchmarks.runs.reader import read_run, read_runs


@pytest.fixture(scope="module")
def runs(canned_in, tmp_path_factory):
    canned = canned_in(tmp_path_factory.mktemp("unvalidated") / "runs")
    for seed in range(3):
        canned.unvalidated("triplet", "none", seed, map_at_r=0.50 + 0.01 * seed)
        canned.unvalidated("triplet", "ee", seed, map_at_r=0.52 + 0.015 * seed)
    return canned.root


@pytest.fixture(scope="module")
def written(runs, tmp_path_factory):
    return {path.name: path.read_text() for path in write_report(runs, tmp_path_factory.mktemp("report"))}


def test_the_last_epoch_is_the_honest_rule_and_the_best_on_test_an_oracle(runs):
    for run in read_runs(runs):
        assert {rule: picked.oracle for rule, picked in run.selection.items()} == {"last": False, "test": True}
        assert run.rule == "last" and run.selected() is run.selection["last"] and run.curve == {}
        assert run.facts["protocol"] == "quickstart, version 1, without validation"


def test_statistics_are_those_of_the_last_epoch(runs):
    (comparison,) = summarize(read_runs(runs)).comparisons
    assert comparison.baseline.score("mean_average_precision_at_r").mean == pytest.approx(51)
    assert comparison.primary.per_seed == pytest.approx([2.0, 2.5, 3.0])
    assert comparison.over_classes is not None and comparison.fold_level is None
    assert comparison.rules == ("last", "test") and comparison.published_style.mean > 2.5


def test_columns_are_the_last_epoch_and_the_published_rule(written):
    page, text = written["report.html"], written["report.md"]
    assert re.findall(r"<th scope=\"col\">([^<]*)<small>(fair|oracle)</small>", page) == 2 * [
        ("Last epoch", "fair"),
        ("Best epoch on the test set (as published)", "oracle"),
    ]
    assert "| Loss | Method | Last epoch, fair | Best epoch on the test set (as published), oracle | Inflation" in text
    assert "Last epoch (fair) & Best epoch on the test set (as published) (oracle)" in written["tables.tex"]
    rules = [row["selection"] for row in csv.DictReader(io.StringIO(written["results.csv"]))]
    assert rules == ["last", "test"] * 6
    tested = [row for row in csv.DictReader(io.StringIO(written["comparisons.csv"])) if row["holm_p"]]
    assert [(row["selection"], float(row["difference_points"])) for row in tested] == [("last", pytest.approx(2.5))]


def test_nothing_is_said_to_be_chosen_by_validation(written):
    for name, content in written.items():
        assert "validation chose" not in content and "chosen by validation" not in content, name
        assert "validation fold chose" not in content and "validation images" not in content, name
    assert "no fold validates, and the last epoch counts" in written["report.html"]
    assert 'id="learning-1"' not in written["report.html"] and "#learning-1" not in written["report.html"]
    assert "A validation fold on glyphs (`protocol.num_folds=4`)" in written["report.md"]


def test_runs_with_and_without_validation_are_never_in_one_table(canned):
    canned.unvalidated("triplet", "none")
    canned.write("proxy_anchor")
    with pytest.raises(UserError, match="differ in protocol.*quickstart, version 1, without validation"):
        read_summary(canned.root)


def test_two_data_sets_may_have_a_rule_each(canned):
    canned.unvalidated("triplet", "none")
    canned.write("triplet", data__name="emoji")
    summary = read_summary(canned.root)
    assert which_epoch(summary) == (
        "on emoji the validation fold chooses the epoch; on glyphs no fold validates, and the last epoch counts"
    )
    page = write_report(canned.root, canned.root / "report")[0].read_text()
    assert "at the epoch that the validation fold chose" in page and "at the last epoch" in page
    assert 'id="learning-1"' in page and 'id="learning-2"' not in page


def test_two_runs_are_compared_at_the_last_epoch(canned):
    pair = [canned.unvalidated("triplet", method, map_at_r=level) for method, level in (("none", 0.5), ("ee", 0.52))]
    assert compare(*pair).startswith(
        "Triplet EE is 2.00 points of test MAP@R higher than Triplet baseline (52.00 against"
    )
    with pytest.raises(UserError, match="protocol: quickstart, version 1 against quickstart, version 1, without"):
        compare(canned.write("triplet"), pair[1])


def test_a_test_set_scored_once_leaves_the_last_epoch_alone(canned):
    folder = canned.unvalidated("triplet", "none", map_at_r=0.5)

    def once(result):
        del result["selection"]["test"]
        for entry in result["history"]:
            entry["test"] = None

    canned.edit(folder, once)
    assert list(read_run(folder).selection) == ["last"]
    page = write_markdown(contents_of(read_summary(canned.root), []))
    assert "Only the last weights were scored on the test set" in page


def test_an_oracle_in_the_place_of_the_honest_rule_is_damage(canned):
    folder = canned.unvalidated("triplet", "none")
    canned.edit(folder, lambda result: result["selection"]["last"].update(oracle=True))
    with pytest.raises(UserError, match="result.json: selection.last.oracle = True"):
        read_run(folder)
    canned.edit(folder, lambda result: result["selection"].pop("last"))
    assert "last" not in json.loads((folder / "result.json").read_text())["selection"]
    with pytest.raises(UserError, match="no selection.last"):
        read_run(folder)
