"""Reports on methods beside their controls."""

import csv
import io

import pytest

from benchmarks.report.contents import contents_of
from benchmarks.report.csv import comparisons, write_csv
from benchmarks.report.latex import write_latex
from benchmarks.report.markdown import write_markdown
from benchmarks.report.summary import summarize
from benchmarks.report.verdicts import attributions, findings, overview
from benchmarks.report.write import read_summary, write_report
from benchmarks.runs.reader import read_runs

CONTROLS = {"ee_random": "the choice of the hardest points", "elsewhere": "all of it"}
GAINS = (1, 2, 3, 1, 2, 3)  # of the method over its control, by seed, in points


def written(canned, gains=GAINS, losses=("triplet",), **more):
    """Baseline, a control a point above it, and a method that gains this much more."""
    for loss in losses:
        for seed, gain in enumerate(gains):
            canned.write(loss, seed=seed, map_at_r=0.5)
            canned.write(loss, "ee_random", seed=seed, map_at_r=0.51 + 0.0001 * seed, **more)
            canned.write(
                loss, "ee", seed=seed, map_at_r=0.51 + 0.0001 * seed + gain / 100, controls=CONTROLS,
            )  # fmt: skip
    return canned.root


@pytest.fixture(scope="module")
def root(canned_in, tmp_path_factory):
    return written(canned_in(tmp_path_factory.mktemp("controls") / "runs"))


def test_what_a_method_adds_to_its_control_is_a_paired_difference(root):
    (attribution,) = read_summary(root).attributions  # the other control was not run
    assert (attribution.method.method, attribution.baseline.method) == ("ee", "ee_random")
    assert attribution.primary.per_seed == pytest.approx(GAINS)
    assert attribution.lacks == CONTROLS["ee_random"]


def test_controls_are_a_family_of_their_own(canned):
    summary = summarize(read_runs(written(canned, losses=("triplet", "proxy_nca"))))
    assert {comparison.family for comparison in summary.comparisons} == {4}
    assert {attribution.family for attribution in summary.attributions} == {2}
    assert [attribution.holm_p for attribution in summary.attributions] == [0.0625, 0.0625]
    assert {finding.verdict for finding in attributions(summary)} == {"nominally better"}


def test_it_is_said_with_what_the_control_lacks(root):
    summary = read_summary(root)
    (finding,) = attributions(summary)
    assert (finding.verdict, finding.headline) == ("established gain", "Triplet + EE against EE random")
    assert finding.sentence.startswith(
        "With EE, the test MAP@R of Triplet is 2.00 points higher than with its control EE random, which lacks the "
        "choice of the hardest points (difference +2.00"
    )
    assert len(findings(summary)) == 2
    assert "Of one comparison between a method and its control, 1 is an established gain." in overview(summary)


@pytest.mark.slow
def test_every_form_has_it(root, tmp_path):
    summary = read_summary(root)
    contents = contents_of(summary, [])
    text = write_markdown(contents)
    assert "What methods add to their controls:" in text
    assert "| Triplet | EE | EE random | +2.00 [" in text
    assert "EE random: EE without the choice of the hardest points." in text
    assert r"\label{tab:glyphs-control}" in write_latex(contents)
    rows = list(csv.DictReader(io.StringIO(write_csv(comparisons(summary)))))
    (row,) = (row for row in rows if row["against"] == "ee_random" and row["verdict"])
    assert float(row["difference_points"]) == pytest.approx(2) and row["verdict"] == "established gain"
    page = write_report(root, tmp_path)[0].read_text()
    assert "<h3>What methods add to their controls</h3>" in page and "Difference to the control" in page


def test_an_idle_control_allows_no_verdict_and_is_named(canned):
    idle = {"method_activity": {"steps": 300, "active_steps": 0, "synthetic_per_step": 0.0}}
    (finding,) = attributions(read_summary(written(canned, **idle)))
    assert finding.verdict == "no verdict"
    assert finding.sentence.startswith("No verdict: EE random made no synthetic point in any step of")


def test_a_control_that_changes_nothing_is_said_to_be_equal(canned):
    (finding,) = attributions(read_summary(written(canned, gains=[0] * 6)))
    assert "is the same in every run as with its control EE random" in finding.sentence
