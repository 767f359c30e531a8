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
