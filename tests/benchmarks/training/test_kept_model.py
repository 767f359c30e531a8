import hashlib
import json
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tiny_runs import run_tiny

from benchmarks.config.compose import compose
from benchmarks.config.lists import list_kinds, read_suite
from benchmarks.runs.model_description import read_description
from benchmarks.runs.reader import read_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_tiny(tmp_path_factory.mktemp("runs"), "protocol.test_scoring=every")


@pytest.mark.slow
def test_a_finished_run_keeps_the_weights_of_the_selected_epoch_and_what_builds_the_model(run: Path) -> None:
    described, weights = read_description(run), load_file(run / "model.safetensors")
    result = json.loads((run / "result.json").read_text())
    assert described.epoch == result["selection"]["validation"]["epoch"]
    assert described.sha256 == hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()
    assert described.images is not None and described.images.fit == [12, 12] and described.images.channels == 1
    assert weights["embedder.weight"].shape == (8, 8) and any(name.startswith("trunk.") for name in weights)
    assert len(described.data.classes) == result["data"]["classes"]["train"]


def test_the_description_is_sealed_and_the_weights_may_be_deleted(run: Path, tmp_path: Path) -> None:
    assert "model.json" in (run / "done").read_text() and "model.safetensors" not in (run / "done").read_text()
    copy = tmp_path / run.name
    copy.mkdir()
    for file in run.iterdir():
        if file.is_file() and file.name != "model.safetensors":
            (copy / file.name).write_bytes(file.read_bytes())
    assert read_run(copy).name == run.name


@pytest.mark.slow
def test_runs_keep_weights_unless_told_otherwise_and_suites_keep_nothing(tmp_path: Path) -> None:
    assert compose([])[1].keep == "weights"
    suite, overrides = read_suite("smoke", [])
    asked, further = read_suite("smoke", ["keep=weights"])
    for kinds, keep in ((list_kinds(suite, overrides), "nothing"), (list_kinds(asked, further), "weights")):
        assert {options.keep for arms in kinds.values() for _, options in arms} == {keep}


def test_keeping_changes_neither_the_name_nor_the_numbers_of_a_run(run: Path, tmp_path: Path) -> None:
    without = run_tiny(tmp_path, "protocol.test_scoring=every", "keep=nothing")
    kept, thrown = (json.loads((folder / "result.json").read_text()) for folder in (run, without))
    assert without.name == run.name and not (without / "model.json").exists()
    assert kept["history"] == thrown["history"] and kept["selection"] == thrown["selection"]
