"""Reports with the raw features beside the trainings on them."""

import csv
import io

import pytest

from benchmarks.errors import UserError
from benchmarks.report.contents import contents_of
from benchmarks.report.csv import comparisons, results, write_csv
from benchmarks.report.figures import learning_curves, method_colours
from benchmarks.report.markdown import write_markdown
from benchmarks.report.verdicts import overview
from benchmarks.report.write import read_summary, write_report
from benchmarks.runs.schema import PRIMARY

GAINS = {"none": (0.02, 0.03), "ee": (-0.01, -0.03)}  # by seed, above the features of the fold


@pytest.fixture(scope="module")
def root(canned_in, tmp_path_factory):
    """Two folds whose features differ by ten points; standardised ones are better, on validation too."""
    canned = canned_in(tmp_path_factory.mktemp("raw") / "runs")
    for fold, level in enumerate((0.5, 0.6)):
        canned.raw(fold=fold, map_at_r=level - 0.1, validation=0.5)
        canned.raw(standardized=True, fold=fold, map_at_r=level, validation=0.6)
        for method, gains in GAINS.items():
            for seed, gain in enumerate(gains):
                canned.once("triplet", method, fold, seed, map_at_r=level + gain)
    return canned.root


@pytest.fixture(scope="module")
def summary(root):
    return read_summary(root)


def rows(table):
    return list(csv.DictReader(io.StringIO(write_csv(table))))


def test_differences_are_paired_by_fold_and_the_same_features_serve_every_seed(summary):
    (data,) = summary.data_sets
    assert [cell.loss for cell in data.raw] == ["raw", "raw_standardized"]
    for raw, shift in zip(data.raw, (10, 0), strict=True):
        found = {comparison.method.method: comparison.primary.per_seed for comparison in data.above(raw)}
        assert found["none"] == pytest.approx([2 + shift, 3 + shift])
        assert found["ee"] == pytest.approx([-1 + shift, -3 + shift])


def test_features_are_no_arm_and_count_in_no_correction(summary):
    assert [comparison.method.method for comparison in summary.comparisons] == ["ee"]
    assert summary.comparisons[0].family == 1 and not summary.attributions
    assert all(not run.is_raw for run in summary.runs) and len(summary.all_runs) == len(summary.runs) + 4


def test_what_ends_below_the_features_that_validation_prefers_is_named(summary):
    (sentence,) = (sentence for sentence in overview(summary) if "end below" in sentence)
    assert sentence.startswith(
        "On glyphs, 1 of 2 losses and methods end below the standardised features (cosine, MAP@R 55.00, "
        "which validation prefers): Triplet (EE −2.00). The 95\u00a0% interval over seeds includes 0, or there is "
        "none, for Triplet EE. "
    )
    assert "the features have no seeds" in sentence


def test_where_nothing_ends_below_the_features_that_is_said(canned):
    canned.raw(map_at_r=0.3)
    canned.once("triplet", "none", map_at_r=0.5)
    said = overview(read_summary(canned.root))
    assert "On glyphs, no loss or method ends below the raw features (cosine, MAP@R 30.00)." in said


def test_the_tables_have_them_first_and_the_differences_to_both(summary):
    text = write_markdown(contents_of(summary, []))
    accuracy = text[text.index("## Accuracy") :]
    lines = [line for line in accuracy.splitlines() if line.startswith("| ")]
    assert lines[2].startswith("| Raw features | – | – | 2 |")
    assert lines[3].startswith("| Standardised features | – | – | 2 |") and lines[3].endswith("| 55.0 |")
    assert "| Triplet | EE | +8.00 [" in text and "−2.00 [" in text
    for name in ("raw features", "standardised features"):
        assert f"| MAP@R, minus {name} | Over classes, bootstrap |" in text


def test_the_csv_files_have_their_scores_and_their_differences_untested(summary):
    own = [row for row in rows(results(summary)) if row["loss"] == "raw_standardized"]
    assert [float(row[PRIMARY]) for row in own if row["selection"] == "validation"] == pytest.approx([0.5, 0.6])
    above = [row for row in rows(comparisons(summary)) if row["against"] == "raw_standardized"]
    (found,) = (row for row in above if row["method"] == "none" and row["metric"] == PRIMARY)
    assert float(found["difference_points"]) == pytest.approx(2.5)
    assert not any(found[key] for key in ("p", "holm_p", "smallest_p", "verdict", "detectable_points"))


def test_the_page_has_them_too(root, tmp_path):
    page = write_report(root, tmp_path)[0].read_text()
    assert "Difference to the raw features" in page and "12 runs" in page


def refusal(canned) -> str:
    with pytest.raises(UserError) as refused:
        read_summary(canned.root)
    return str(refused.value)


def test_features_of_another_content_trunk_or_protocol_are_refused(canned):
    canned.once("triplet", "none")
    for changes, what in (
        ({"data__hash": "0" * 64}, "data hash"),
        ({"trunk": "resnet50"}, "trunk"),
        ({"protocol": "standard"}, "protocol"),
    ):
        folder = canned.raw(**changes)
        assert f"raw and the trainings on glyphs differ in {what}: " in refusal(canned)
        folder.rename(canned.root.parent / folder.name)


def test_a_trunk_with_other_weights_is_refused_but_for_vectors_that_no_trunk_made_in_the_run(canned):
    canned.once("triplet", "none")
    folder = canned.edit_config(canned.raw(), "trunk", network={"weights": "other"})
    assert "differ in trunk.network" in refusal(canned)
    canned.edit_config(folder, "data", kind="features")
    assert read_summary(canned.root).data_sets[0].raw


def test_every_fold_needs_its_features(canned):
    canned.raw()
    for fold in range(2):
        canned.once("triplet", "none", fold)
    assert "raw on glyphs lacks fold 1, which trainings have: run it with loss=raw" in refusal(canned)


def test_features_on_which_nothing_was_trained_are_refused(canned):
    canned.raw(data__name="emoji")
    canned.once("triplet", "none")
    assert "nothing was trained on emoji, whose features are in" in refusal(canned)


def test_two_runs_of_the_same_features_are_refused(canned):
    canned.once("triplet", "none")
    canned.raw()
    canned.raw(map_at_r=0.4, environment_note="again")
    assert "raw with method none on glyphs, seed 0, fold 0 exists more than once" in refusal(canned)


def test_learning_curves_have_a_line_at_each_of_their_scores(summary):
    (data,) = summary.data_sets
    (panel,) = learning_curves(data, method_colours(["none", "ee"]))
    assert "raw features have " in panel.alt and "standardised features have " in panel.alt
    assert ">raw features</text>" in panel.svg
