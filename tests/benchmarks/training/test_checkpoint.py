from pathlib import Path

import pytest
import torch

from benchmarks.runs import writer
from benchmarks.runs.writer import RunDir
from benchmarks.training import checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> RunDir:
    made = RunDir(tmp_path, {"loss": "triplet"})
    made.path.mkdir()
    for epoch in (1, 2, 10):
        checkpoint.save(made, {"epoch": epoch, "weights": torch.arange(1000.0)})
    return made


def read(folder: RunDir) -> tuple[int | None, list[str]]:
    lines: list[str] = []
    state = checkpoint.newest(folder, lines.append)
    return None if state is None else state["epoch"], lines


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_the_newest_of_two_is_read(folder: RunDir) -> None:
    assert [int(path.name.split("-")[1]) for path in folder.checkpoints()] == [10, 2]
    assert read(folder) == (10, [])


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_bit,
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: torch.save({"epoch": 10, "weights": torch.zeros(1000)}, path),  # a whole file, but another one
    ],
)
def test_a_damaged_newest_gives_way_to_the_one_before_and_is_logged(folder: RunDir, damage) -> None:
    newest, previous = folder.checkpoints()
    damage(newest)
    epoch, lines = read(folder)
    assert epoch == 2
    assert len(lines) == 1 and f"{newest} is damaged" in lines[0]
    assert lines[0].endswith(f"going back to {previous.name}")
    assert folder.checkpoints() == [previous]


def test_damage_to_both_leaves_none_and_is_logged(folder: RunDir) -> None:
    older = folder.checkpoints()[1]
    for file in folder.checkpoints():
        flip_a_bit(file)
    epoch, lines = read(folder)
    assert epoch is None
    assert lines[1].startswith(f"{older} is damaged") and lines[1].endswith("starting from scratch")


def test_without_a_file_nothing_is_logged(tmp_path: Path) -> None:
    assert read(RunDir(tmp_path, {})) == (None, [])


def test_a_disk_that_fills_up_leaves_both_checkpoints_and_no_third_file(
    folder: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    before = {file: file.read_bytes() for file in folder.checkpoints()}
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr(writer.os, "fsync", full)
        checkpoint.save(folder, {"epoch": 11})
    assert {file: file.read_bytes() for file in folder.path.iterdir()} == before
