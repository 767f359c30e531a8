from pathlib import Path

import pytest
import torch

from benchmarks.runs import writer as records
from benchmarks.training import sealed


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    newest, previous = tmp_path / "state.pt", tmp_path / "state.previous.pt"
    for step in (1, 2):
        sealed.save(newest, previous, {"step": step, "weights": torch.arange(1000.0)})
    return newest, previous


def told(files: tuple[Path, Path]) -> tuple[int | None, list[str]]:
    sentences: list[str] = []
    state = sealed.newest(*files, sentences.append)
    return None if state is None else state["step"], sentences


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_the_newest_state_comes_back(files: tuple[Path, Path]) -> None:
    assert told(files) == (2, [])


@pytest.mark.parametrize("damage", [flip_a_bit, lambda path: path.write_bytes(path.read_bytes()[:-1]), Path.touch])
def test_a_damaged_newest_gives_way_to_the_one_before_and_says_so(files: tuple[Path, Path], damage) -> None:
    if damage is Path.touch:
        files[0].write_bytes(b"")
    damage(files[0])
    step, sentences = told(files)
    assert step == 1
    assert len(sentences) == 1 and f"{files[0]} is damaged" in sentences[0]
    assert sentences[0].endswith("going back to state.previous.pt")
    assert not files[0].exists()  # so that the next save cannot move it over the good one


def test_damage_to_both_leaves_none_and_says_so(files: tuple[Path, Path]) -> None:
    for file in files:
        flip_a_bit(file)
    step, sentences = told(files)
    assert step is None
    assert sentences[1].startswith(f"{files[1]} is damaged") and sentences[1].endswith("starting from scratch")


def test_without_a_file_there_is_nothing_to_tell(tmp_path: Path) -> None:
    assert told((tmp_path / "state.pt", tmp_path / "state.previous.pt")) == (None, [])


def test_a_disk_that_fills_up_leaves_both_states_and_no_third_file(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    before = [file.read_bytes() for file in files]
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr(records.os, "fsync", full)
        sealed.save(*files, {"step": 3})
    assert [file.read_bytes() for file in files] == before
    assert sorted(files[0].parent.iterdir()) == sorted(files)
