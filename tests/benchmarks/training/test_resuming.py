"""Interrupted trainings, damaged checkpoints and full disks cost time, and change no number."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import numbers, run_tiny

from benchmarks.errors import TrainingError
from benchmarks.runs.writer import RunDir
from benchmarks.training import checkpoint, training
from benchmarks.training import train as run


@pytest.mark.slow
@pytest.mark.parametrize(
    "names", [("multi_similarity", "ee"), ("proxy_anchor", "ps"), ("multi_similarity", "iaa"), ("proxy_anchor", "idml")]
)
def test_an_interrupted_run_ends_as_if_it_had_not_been(
    names: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = [f"loss={names[0]}", f"method={names[1]}"]
    whole = run_tiny(tmp_path / "whole", *choice)
    original = checkpoint.save

    def interrupted(folder: RunDir, state: Any) -> None:
        if state["epoch"] == 3:
            raise KeyboardInterrupt  # after the evaluation of epoch 3 was recorded, before it was saved
        original(folder, state)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(checkpoint, "save", interrupted)
        run_tiny(tmp_path / "parts", *choice)
    (folder,) = (tmp_path / "parts").iterdir()
    assert list(folder.glob("checkpoint-*.pt")) and not (folder / "done").exists()

    torch.rand(5)
    assert run_tiny(tmp_path / "parts", *choice) == folder
    assert numbers(folder) == numbers(whole)
    assert not list(folder.glob("checkpoint-*.pt"))
    for csv in whole.glob("records/*.csv"):
        assert (folder / "records" / csv.name).read_text() == csv.read_text()


def interrupt_after(epoch: int, monkeypatch: pytest.MonkeyPatch, runs: Path, *overrides: str) -> Path:
    """The folder of a run that was stopped right after the checkpoint of an epoch."""
    original = checkpoint.save

    def interrupted(folder: RunDir, state: Any) -> None:
        original(folder, state)
        if state["epoch"] == epoch:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(checkpoint, "save", interrupted)
        run_tiny(runs, *overrides)
    return next(path.parent for path in runs.glob("*/checkpoint-*.pt"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damaged", "sentence"),
    [
        ([0], "going back to checkpoint-000001-"),
        ([0, 1], "starting from scratch"),
    ],
)
def test_damaged_checkpoints_cost_time_and_no_numbers(
    damaged: list[int],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = run_tiny(tmp_path / "whole")
    folder = interrupt_after(2, monkeypatch, tmp_path / "parts")
    newest_first = sorted(folder.glob("checkpoint-*.pt"), reverse=True)
    for position in damaged:
        content = newest_first[position].read_bytes()
        newest_first[position].write_bytes(content[:500] + b"x" + content[501:])
    capsys.readouterr()
    assert run_tiny(tmp_path / "parts") == folder
    assert sentence in capsys.readouterr().err
    assert numbers(folder) == numbers(whole)
    for csv in whole.glob("records/*.csv"):
        assert (folder / "records" / csv.name).read_text() == csv.read_text()


@pytest.mark.slow
def test_a_checkpoint_of_another_layout_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = interrupt_after(2, monkeypatch, tmp_path)
    monkeypatch.setattr(checkpoint, "VERSION", checkpoint.VERSION + 1)
    run_tiny(tmp_path)
    assert "has another layout; starting from scratch" in capsys.readouterr().err
    assert json.loads((folder / "result.json").read_text())["cost"]["sessions"] == 1


@pytest.mark.slow
def test_a_checkpoint_of_other_images_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = np.random.randint(256, size=(96, 12, 12, 1)).astype(np.uint8), np.arange(96) // 4
    data = ["data=npz", f"data.path={tmp_path / 'data.npz'}", "data.name=mine"]

    def put(images: np.ndarray) -> None:
        np.savez(tmp_path / "data.npz", images=images, labels=labels)
        run._load.cache_clear()

    put(images)
    folder = interrupt_after(2, monkeypatch, tmp_path / "mended", *data)
    put(255 - images)
    assert run_tiny(tmp_path / "mended", *data) == folder
    assert "was trained on other images; starting from scratch" in capsys.readouterr().err
    assert numbers(folder) == numbers(run_tiny(tmp_path / "whole", *data))


@pytest.mark.slow
def test_a_resumed_run_adds_its_sessions_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_after(2, monkeypatch, tmp_path)
    cost = json.loads((run_tiny(tmp_path) / "result.json").read_text())["cost"]
    assert cost["sessions"] == 2 and cost["total_seconds"] > cost["train_seconds"]


def test_long_epochs_are_saved_between_evaluations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    original = checkpoint.save

    def listening(folder: RunDir, state: Any) -> None:
        saved.append(state["epoch"])
        original(folder, state)

    monkeypatch.setattr(checkpoint, "save", listening)
    monkeypatch.setattr(training, "SAVE_AFTER", 0.0)
    run_tiny(tmp_path, "protocol.evaluate_every=4")
    assert saved == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_a_full_disk_ends_a_run_with_its_reason_and_the_next_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_tiny(tmp_path / "whole")
    original = checkpoint.save

    def full(folder: RunDir, state: Any) -> None:
        if state["epoch"] == 3:
            raise OSError(28, "No space left on device")
        original(folder, state)

    with monkeypatch.context() as patched, pytest.raises(TrainingError, match="No space left"):
        patched.setattr(checkpoint, "save", full)
        run_tiny(tmp_path / "parts")
    (failed,) = (tmp_path / "parts").glob("*/failed")
    assert failed.read_text().startswith("OSError: [Errno 28] No space left on device\n")
    folder = run_tiny(tmp_path / "parts")
    assert not failed.exists() and numbers(folder) == numbers(whole)
