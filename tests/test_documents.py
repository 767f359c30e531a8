"""Runs the Python blocks of the documents, reads their commands as the benchmark would, and follows their links."""

import argparse
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
import yaml

import pml_aug
from benchmarks.config.ablation import read_ablation
from benchmarks.config.classification import compose_classification
from benchmarks.config.classification_suite import GROUP, list_classification_kinds, read_classification_suite
from benchmarks.config.compose import compose, options_of
from benchmarks.config.lists import read_suite
from benchmarks.tuning.study import read_final, read_study

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{document.relative_to(ROOT)}:{number}")
    for document in DOCUMENTS
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE)
    )
]
COMMANDS = {
    command
    for document in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    if document.parent.name != "tutorials"  # whose commands run when the site is built
    for written in re.findall(r"(?:pml-aug|-m pml_aug_benchmarks) (?!COMMAND)((?:\\\n|[^`#\n])+)", document.read_text())
    if (command := re.sub(r"\s+", " ", written.replace("\\\n", " ")).strip())
}


@pytest.mark.parametrize("block", BLOCKS)
def test_python_block_runs_from_top_to_bottom(block: str) -> None:
    exec(compile(block, "block", "exec"), {"__name__": "block"})


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_the_benchmark_understands_every_command(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [word for word in shlex.split(command) if word != "--help" and not word.endswith("...")]  # left open
    given = _given(words, monkeypatch)
    name = getattr(given, "name", None)
    if words[0] == "suite" and name in options_of(GROUP):
        list_classification_kinds(*read_classification_suite(name, given.overrides))
    elif words[0] == "classify":
        compose_classification(given.overrides)
    elif words[0] == "suite":
        suite, rest = read_suite(name, given.overrides)
        first = suite.comparisons[0]
        compose([f"data={suite.data[0]}", f"loss={first.loss}", f"method={first.methods[0]}", *suite.overrides, *rest])
    elif words[0] == "ablate":
        read_ablation(given.method, given.overrides)
    elif words[0] == "tune":
        study = read_study(name, given.overrides)
        compose([f"data={study.data}", *study.overrides])
    elif words[0] == "final":
        read_final(name, given.overrides)
    elif words[0] == "data":
        compose([f"data={name.replace('NAME', 'folder')}", *given.overrides])
    elif words[0] in ("run", "speed"):
        compose(given.overrides)


class _Parsed(Exception):  # noqa: N818 (no error: a command that goes no further)
    pass


def _given(words: list[str], monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """What a command's own parser reads in its words."""
    parse = argparse.ArgumentParser.parse_known_intermixed_args

    def stop(self: argparse.ArgumentParser, words: list[str]) -> None:
        given, unknown = parse(self, words)
        assert not unknown
        if getattr(given, "allow", None):
            given.overrides.append(f"allow=[{','.join(given.allow)}]")
        raise _Parsed(given)

    for name in ("parse_args", "parse_intermixed_args", "parse_known_intermixed_args"):
        monkeypatch.setattr(argparse.ArgumentParser, name, stop)
    with pytest.raises(_Parsed) as parsed:
        import_module(f"benchmarks.cli.{words[0].replace('-', '_')}").main(words[1:])
    given: argparse.Namespace = parsed.value.args[0]
    return given


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text())
    assert not [target for target in targets if not (document.parent / target).exists()]


def test_readme_gives_exactly_the_two_commands_that_set_up() -> None:
    commands = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("pip install")]
    assert commands == [
        'pip install -e ".[bench]" && pml-aug suite quickstart',
        'pip install -e ".[dev]" && pytest',
    ]


def test_readme_names_the_oldest_python_that_the_metadata_allows() -> None:
    assert "python_requires = >=3.11" in (ROOT / "setup.cfg").read_text()
    assert "Python 3.11 or later" in (ROOT / "README.md").read_text()


def test_the_citation_has_the_version_of_the_library() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == pml_aug.__version__
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()  # those that the format requires


def test_the_licences_of_the_fonts_are_beside_the_notice_that_names_them() -> None:
    data = ROOT / "benchmarks" / "data"
    named = set(re.findall(r"licences/\w+\.txt", (data / "NOTICE.txt").read_text()))
    assert named == {path.relative_to(data).as_posix() for path in data.glob("licences/*")}
    assert len(named) == 2
