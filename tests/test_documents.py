"""Runs the Python blocks of the documents, and follows their links."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{document.relative_to(ROOT)}:{number}")
    for document in DOCUMENTS
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE)
    )
]


@pytest.mark.parametrize("block", BLOCKS)
def test_python_block_runs_from_top_to_bottom(block: str) -> None:
    exec(compile(block, "block", "exec"), {"__name__": "block"})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text())
    assert not [target for target in targets if not (document.parent / target).exists()]


def test_readme_gives_exactly_the_two_commands_that_set_up() -> None:
    commands = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("pip install")]
    assert commands == [
        'pip install -e ".[bench]" && python -m benchmarks suite quickstart',
        'pip install -e ".[dev]" && pytest',
    ]


def test_readme_names_the_oldest_python_that_the_metadata_allows() -> None:
    assert "python_requires = >=3.10" in (ROOT / "setup.cfg").read_text()
    assert "Python 3.10 or later" in (ROOT / "README.md").read_text()
