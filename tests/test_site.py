"""Links of the site that work in both places, formulas, and the leaderboard; `mkdocs build` tests the rest."""

import csv
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mkdocs")
griffe = pytest.importorskip("griffe")
ROOT = Path(__file__).parents[1]


def script(name: str) -> dict[str, Any]:
    """What docs/site/NAME.py defines; its imports see the files beside it, as MkDocs and Python have it."""
    folder = ROOT / "docs" / "site"
    sys.path.insert(0, str(folder))
    try:
        return runpy.run_path(str(folder / f"{name}.py"))
    finally:
        sys.path.remove(str(folder))


REPOSITORY, DOCSTRINGS, STUDIES, LEADERBOARD, EXECUTE = map(
    script, ("repository", "docstrings", "studies", "leaderboard", "execute")
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
    compared = 0
    for path in STUDIES["RESULTS"].glob("*/comparisons.csv"):
        with path.open() as file:
            for line in csv.DictReader(file):
                if line.get("verdict") not in (None, "", "no verdict"):
                    assert STUDIES["verdict"](line) == line["verdict"]
                    compared += 1
    assert compared > 10


def test_the_leaderboard_shows_intervals_and_verdicts_of_every_study():
    studies = STUDIES["read_studies"](STUDIES["RESULTS"])
    assert {study.folder for study in studies} == {path.name for path in STUDIES["RESULTS"].iterdir() if path.is_dir()}
    page = LEADERBOARD["leaderboard"](studies)
    assert page.count("<table") == 1 + len(studies)
    assert "+1.55 [1.50 to 1.60]" in page  # of the tuned study, as in docs/findings.md
    assert "▲</b> established gain" in page and "▼</b> established loss" in page


def test_code_of_a_tutorial_is_shown_with_what_it_prints():
    page = (
        '```yaml title="a/b.yaml" exec\nx: 1\n```\n```sh exec\ncat a/b.yaml\n```\n```python exec\nprint(1 + 1)\n```\n'
    )
    shown = EXECUTE["executed"](page)
    assert '```yaml title="a/b.yaml"\nx: 1\n```' in shown
    assert "cat a/b.yaml\n```\n\n``` { .text .output }\nx: 1\n```" in shown
    assert "print(1 + 1)\n```\n\n``` { .text .output }\n2\n```" in shown


@pytest.mark.parametrize("block", ["python exec\n1 / 0\n", "sh exec\nfalse\n", "sh exec\npml-aug nothing\n"])
def test_a_tutorial_whose_code_fails_fails_the_build(block):
    page = type("Page", (), {"file": type("File", (), {"src_uri": "a.md"})})
    with pytest.raises(EXECUTE["PluginError"], match="a.md"):
        EXECUTE["on_page_markdown"](f"```{block}```\n", page)


def test_the_reference_has_what_the_packages_export():
    """Also functions in modules of the same name, of which mkdocstrings would show the module."""
    extensions = griffe.load_extensions(DOCSTRINGS["Docstrings"]())
    library = griffe.load("pml_aug", search_paths=[ROOT], extensions=extensions)
    for name in (
        "hooks.refresh_statistics",
        "hooks.refresh_from_loader",
        "synthesis.mirror",
        "synthesis.simplex_corners",
    ):
        assert library[name].is_function
