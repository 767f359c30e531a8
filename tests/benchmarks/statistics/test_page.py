"""The page of figures is written by its script."""

import re
import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "docs" / "statistics.py"


@pytest.mark.slow
def test_the_page_has_the_tables_that_the_script_writes(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    written = runpy.run_path(str(SCRIPT))["simulated"](4)
    page = SCRIPT.with_suffix(".md").read_text()
    titles = re.findall(r"^\*\*(.+)\*\*$", written, flags=re.MULTILINE)
    assert titles and re.findall(r"^\*\*(.+)\*\*$", page, flags=re.MULTILINE) == titles
    heads = [line for line in written.splitlines() if line.startswith("| ") and "±" not in line]
    assert all(head in page for head in heads)
