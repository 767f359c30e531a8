"""Every example is short, runs, and prints what the comment at its end says."""

import re
import runpy
import sys
import warnings
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
NEEDS = {
    "huggingface_trainer": ["transformers", "accelerate"],
    "lightning_module": ["lightning"],
    "two_processes": ["accelerate"],
}
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
NUMBER = r"\d+\.\d+"
POINTS = 1.5  # other versions and processors round differently, and training amplifies it


def output_in_comment(name: str) -> list[str]:
    lines = (FOLDER / f"{name}.py").read_text().splitlines()
    start = lines.index("# Output:")
    assert all(line.startswith("# ") for line in lines[start:])
    return [line.removeprefix("# ") for line in lines[start + 1 :]]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_at_most_eighty_lines_long_and_ends_in_its_output(name):
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) <= 80
    assert output_in_comment(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_prints_what_its_comment_says(name, capfd, monkeypatch):
    for package in NEEDS.get(name, []):
        pytest.importorskip(package, reason=f"{package} is in the extra `examples`")
    if name == "two_processes":
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state(reset_partial_state=True)  # another example may have left one, of one process
    monkeypatch.setattr(sys, "argv", [f"{name}.py"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    printed, expected = capfd.readouterr().out.splitlines(), output_in_comment(name)
    assert [re.sub(NUMBER, "#", line) for line in printed] == [re.sub(NUMBER, "#", line) for line in expected]
    for ours, theirs in zip(printed, expected, strict=True):
        values, in_comment = ([float(number) for number in re.findall(NUMBER, line)] for line in (ours, theirs))
        assert values == pytest.approx(in_comment, abs=POINTS)
