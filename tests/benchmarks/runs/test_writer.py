import hashlib
import json
import os
import signal
import threading
from pathlib import Path

import pytest

from benchmarks.errors import UserError
from benchmarks.runs.checked_json import parsed
from benchmarks.runs.schema import run_name
from benchmarks.runs.writer import UNFINISHED, RunDir, RunLockedError, environment, write_whole


def test_a_name_is_the_hash_of_the_canonical_json() -> None:
    expected = hashlib.sha256(b'{"a":{"c":null,"d":0.5},"b":1}').hexdigest()[:12]
    assert run_name({"b": 1, "a": {"d": 0.5, "c": None}}) == expected


def test_a_run_is_done_only_when_marked(tmp_path: Path) -> None:
    folder = RunDir(tmp_path, {"seed": 0})
    folder.prepare()
    assert not folder.is_done()
    checkpoint = folder.checkpoint(1, "0" * 12)
    checkpoint.write_text("state")
    folder.finish({"score": 0.5})
    assert folder.is_done()
    assert json.loads(folder.result.read_text()) == {"score": 0.5}
    assert not checkpoint.exists() and not folder.checkpoints()


def test_a_result_changed_after_the_mark_is_refused_by_path(tmp_path: Path) -> None:
    folder = RunDir(tmp_path, {"seed": 0})
    folder.prepare()
    folder.finish({"score": 0.5})
    folder.result.write_text('{"score": 0.9}')
    with pytest.raises(UserError, match=f"damaged: {folder.result}: changed since the run ended"):
        folder.is_done()


def test_a_number_that_is_none_is_not_written(tmp_path: Path) -> None:
    folder = RunDir(tmp_path, {"seed": 0})
    folder.prepare()
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.finish({"score": float("nan")})
    assert not folder.is_done()


def test_writing_replaces_a_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"old")
    write_whole(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"new"


def test_two_that_write_a_file_at_once_do_not_get_in_each_others_way(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"slow", before=lambda: write_whole(path, b"quick"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"slow"


def test_what_a_killed_attempt_left_half_written_goes_with_the_next_one(tmp_path: Path) -> None:
    folder = RunDir(tmp_path, {"seed": 0})
    folder.prepare()
    (folder.path / f"checkpoint.pt.0123{UNFINISHED}").write_text("half of it")
    folder.prepare()
    assert {path.name for path in folder.path.iterdir()} == {"records", "config.yaml"}


def test_the_environment_names_versions_and_data() -> None:
    found = environment(gpu=None, data_hash="abc")
    assert {"torch", "pytorch-metric-learning", "pml-aug"} <= set(found["packages"])
    assert found["data_hash"] == "abc" and found["cpu"]


def test_a_run_that_is_being_trained_names_who_has_it(tmp_path: Path) -> None:
    folder = RunDir(tmp_path, {"seed": 0})
    again, sentence = RunDir(tmp_path, {"seed": 0}), f"{folder.path} is being trained by process {os.getpid()} "
    with folder.locked(wait=False), pytest.raises(RunLockedError, match=sentence), again.locked(wait=False):
        pass
    with folder.locked(wait=False):
        assert folder.lock.exists()


def test_whoever_waits_for_a_run_says_so_and_gets_it(tmp_path: Path) -> None:
    folder, logged = RunDir(tmp_path, {"seed": 0}), []
    released = threading.Event()
    with folder.locked(wait=False):
        waiting = threading.Thread(target=lambda: _hold(folder, logged.append, released))
        waiting.start()
        assert not released.wait(timeout=0.2)
    assert released.wait(timeout=10)
    waiting.join()
    (sentence,) = logged
    assert sentence.endswith("waiting for it") and f"process {os.getpid()}" in sentence


def _hold(folder: RunDir, tell, held: threading.Event) -> None:
    with folder.locked(wait=True, tell=tell):
        held.set()


def test_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    folder = RunDir(tmp_path, {"seed": 0})
    ready, write = os.pipe()
    process = os.fork()
    if process == 0:
        with folder.locked(wait=False):
            os.write(write, b"held")
            signal.pause()
    assert os.read(ready, 4) == b"held"
    with pytest.raises(RunLockedError, match=f"process {process} "), folder.locked(wait=False):
        pass
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    with folder.locked(wait=False):
        assert f"process {os.getpid()} " in folder.lock.read_text()


def test_a_configuration_comes_back_from_its_file_under_the_same_name(tmp_path: Path) -> None:
    shared = {"lr": 1e-05, "eps": 1e20, "none": None, "names": ["on", "1e3", "2024-01-01", "", "ä: #"]}
    folder = RunDir(tmp_path, {"loss": shared, "method": shared, "seed": 0, "whole": 1.0})
    folder.prepare()
    assert run_name(parsed(folder.path / "config.yaml")) == folder.name
