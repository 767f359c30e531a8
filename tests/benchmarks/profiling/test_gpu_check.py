"""The check for a GPU tries itself on the CPU, with sizes whose numbers mean nothing."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.__main__ import main
from benchmarks.profiling import gpu_steps
from benchmarks.profiling.gpu_check import STEPS, gpu_check
from benchmarks.profiling.gpu_steps import TINY, Task
from benchmarks.profiling.limited import NotPossibleError


@pytest.mark.slow
def test_every_step_is_taken_and_its_results_stand_beside_the_goals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["gpu-check", "--device", "cpu", "--tiny", "--minutes", "30", "--out", str(tmp_path)]
    status = main(words)
    everything = json.loads((tmp_path / "gpu_check.json").read_text())
    ended = {step["name"]: step["status"] for step in everything["steps"]}
    assert ended == {step.name: "left out" if step.name == "compiled" else "done" for step in STEPS}, everything
    assert status == 0
    assert all(goal["measured"] > 0 for goal in everything["goals"])
    assert (tmp_path / "study" / "report" / "report.md").exists()
    printed = capsys.readouterr().out
    assert (tmp_path / "gpu_check.md").read_text() in printed
    assert "| goal | wanted | measured | met | where |" in printed and "Tests: " in printed
    assert "| multi_similarity + iaa | channels_last | 8 |" in printed

    # a single step, again: the others keep their results
    assert main([*words, "--only", "evaluation"]) == 0
    again = json.loads((tmp_path / "gpu_check.json").read_text())
    assert [step["name"] for step in again["steps"]] == [step.name for step in STEPS]


def test_without_time_every_step_is_left_out(tmp_path: Path) -> None:
    said: list[str] = []
    assert gpu_check("cpu", 0.001, tmp_path, TINY, say=said.append) == 0
    assert len(said) == len(STEPS) and all("left out in 0 of" in line for line in said)
    everything = json.loads((tmp_path / "gpu_check.json").read_text())
    assert {step["reason"] for step in everything["steps"]} == {"no time was left"}
    assert {goal["met"] for goal in everything["goals"]} == {None}


def test_tests_are_left_out_where_there_is_no_pytest_or_no_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Task("cpu", TINY, tmp_path, 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(gpu_steps, "find_spec", lambda name: None)
        with pytest.raises(NotPossibleError, match="pytest is not installed"):
            next(gpu_steps.tests(task))
    monkeypatch.setattr(gpu_steps, "PACKAGE", tmp_path / "site-packages" / "pml_aug_benchmarks")
    with pytest.raises(NotPossibleError, match="there are no tests beside .*pml_aug_benchmarks"):
        next(gpu_steps.tests(task))


def test_a_piece_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def time_case(case, size, rounds):
        if case is gpu_steps.CASES[0]:
            raise MemoryError("too large")
        return {"piece": case.name}

    monkeypatch.setattr(gpu_steps, "time_case", time_case)
    found = []
    with pytest.raises(MemoryError):
        for row in gpu_steps.pieces(Task("cpu", TINY._replace(pieces=""), tmp_path, 0.0)):
            found.append(row["piece"])
    assert found == [case.name for case in gpu_steps.CASES[1:]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--minutes", "0"], "--minutes must be above 0"),
        (["--device", "cpu", "--only", "paked"], "unknown step 'paked'; the nearest known one is 'packed'"),
        pytest.param(
            ["--device", "cuda"],
            "device=cuda cannot be used",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
    ],
)
def test_what_cannot_be_checked_is_refused(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gpu-check", "--out", str(tmp_path / "out"), *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
