"""Links of the site that work in both places, formulas, and the leaderboard; `mkdocs build` tests the rest."""

import runpy
from pathlib import Path

import pytest

pytest.importorskip("mkdocs")
ROOT = Path(__file__).parents[1]
REPOSITORY, DOCSTRINGS, LEADERBOARD = (
    runpy.run_path(str(ROOT / "docs" / "site" / f"{name}.py")) for name in ("repository", "docstrings", "leaderboard")
)


@pytest.mark.parametrize(
    ("source", "written", "shown"),
    [
        ("README.md", "[x](docs/findings.md#tuned)", "[x](findings.md#tuned)"),
        ("docs/methods/ee.md", "[x](../cost.md)", "[x](../cost.md)"),
        ("docs/methods/ee.md", "[x](../../README.md)", "[x](../README.md)"),
        ("docs/data.md", "[x](../examples/train_loop.py)", "[x](examples/train_loop.py.md)"),
        ("benchmarks/results/README.md", "[x](../../docs/findings.md)", "[x](../../findings.md)"),
        ("README.md", '<img src="docs/cost.png">', '<img src="cost.png">'),
        ("README.md", "[x](https://pytorch.org) [y](#methods)", "[x](https://pytorch.org) [y](#methods)"),
    ],
)
def test_a_link_leads_to_the_same_page_on_the_site(source, written, shown):
    uri = source.removeprefix("docs/")
    assert REPOSITORY["moved_links"](written, ROOT / source, uri) == shown


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Two:\n- one `x`\n  more\n- two\n", "Two:\n\n- one `x`\n  more\n- two\n"),
        ("```\na\n- b\n```\n1. c\n2. d\n", "```\na\n- b\n```\n\n1. c\n2. d\n"),
    ],
)
def test_a_list_gets_the_blank_line_that_the_site_needs(written, shown):
    assert REPOSITORY["spaced"](written) == shown


def test_every_file_that_a_page_links_to_is_on_the_site():
    found = REPOSITORY["linked"]([ROOT / "docs" / "leaderboard.md"])
    assert ROOT / "benchmarks" / "results" / "README.md" in found


@pytest.mark.parametrize(
    "docstring", ["Mean\n\n    .. math:: m = \\frac{a}{b}\n\n    with a.", "Mean :math:`m = \\frac{a}{b}` of a."]
)
def test_formulas_become_mathml(docstring):
    text = DOCSTRINGS["markdown"](docstring)
    assert "<mfrac>" in text and "math::" not in text and "math:`" not in text and text.startswith("Mean")


def test_the_derived_verdicts_are_those_that_the_report_wrote():
    studies = LEADERBOARD["read_studies"](LEADERBOARD["RESULTS"])
    assert len(studies) >= 6
    without = [study for study in studies if not study.rows or not study.setting]
    assert not without
    compared = 0
    for study in studies:
        with (LEADERBOARD["RESULTS"] / study.folder / "comparisons.csv").open() as file:
            for line in LEADERBOARD["csv"].DictReader(file):
                if line.get("verdict") not in (None, "", "no verdict"):
                    assert LEADERBOARD["verdict"](line) == line["verdict"]
                    compared += 1
    assert compared > 10


def test_the_leaderboard_shows_intervals_and_verdicts_of_every_study():
    studies = LEADERBOARD["read_studies"](LEADERBOARD["RESULTS"])
    page = LEADERBOARD["leaderboard"](studies)
    assert page.count("<table") == 1 + len(studies)
    assert "+1.15 [1.04 to 1.25]" in page  # of the tuned study, as in docs/findings.md
    assert "▲</b> established gain" in page and "▼</b> established loss" in page
