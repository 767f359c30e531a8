"""The pictures of the method pages can be drawn by the library as it is."""

import runpy
from pathlib import Path

import pytest

FIGURES = Path(__file__).parents[1] / "docs" / "figures.py"


@pytest.mark.slow
def test_every_picture_of_the_pages_is_drawn(tmp_path):
    runpy.run_path(str(FIGURES))["main"](tmp_path)
    drawn = {path.name for path in tmp_path.glob("*.png")}
    assert drawn == {path.name for path in (FIGURES.parent / "methods" / "figures").glob("*.png")}


@pytest.mark.slow
def test_the_picture_of_the_committed_differences_is_drawn(tmp_path, monkeypatch):
    site = FIGURES.parent / "site"
    monkeypatch.syspath_prepend(site)
    runpy.run_path(str(site / "differences.py"))["main"](tmp_path / "differences.png")
    assert (tmp_path / "differences.png").stat().st_size > 20_000
