"""One training from its command to its folder: what it holds, repeats and refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tiny_runs import SETTINGS, numbers, run_tiny

from benchmarks.__main__ import main
from benchmarks.config.data import DataConfig
from benchmarks.data import load
from benchmarks.data.split import class_disjoint_split
from benchmarks.errors import TrainingError
from benchmarks.training.train import _load
from benchmarks.training.trainer import EpochTrainer


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_tiny(tmp_path_factory.mktemp("runs"), "loss=proxy_anchor", "method=ps")


def test_a_finished_folder_holds_everything_that_a_report_reads(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    expected = {"config.yaml", "environment.json", "records", "tensorboard", "queries.npz", "gallery.npz"}
    assert names == expected | {"test_scorings.jsonl", "result.json", "model.json", "model.safetensors", "done", "lock"}
    config = yaml.safe_load((finished / "config.yaml").read_text())
    assert config["method"]["name"] == "ps" and "runs" not in config
    assert json.loads((finished / "environment.json").read_text())["data_hash"] == numbers(finished)["data"]["hash"]


def test_the_result_describes_the_training(finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text())
    assert (result["loss"], result["method"], result["run"]) == ("proxy_anchor", "ps", finished.name)
    assert result["data"]["classes"] == {"train": 9, "val": 3, "test": 12}
    assert result["images_seen"] == 4 * 4 * 8
    assert [entry["epoch"] for entry in result["history"]] == [0, 1, 2, 3, 4]
    assert result["history"][0]["loss"] is None and result["history"][1]["loss"] > 0
    assert result["cost"]["seconds_per_step"] > 0 and result["cost"]["peak_memory_bytes"] > 10_000_000


def test_the_queries_scores_average_to_those_of_the_chosen_epoch(finished: Path) -> None:
    chosen = numbers(finished)["selection"]["validation"]["test"]
    with np.load(finished / "queries.npz") as queries:
        for name in ("precision_at_1", "r_precision", "mean_average_precision_at_r"):
            assert queries[name].mean() == pytest.approx(chosen[name], abs=1e-12)


def test_the_gallery_shows_test_images_with_other_images_as_neighbours(finished: Path) -> None:
    data = load(DataConfig("glyphs", "glyphs", image_size=12, num_classes=24))
    test = class_disjoint_split(data.labels, 0).test
    with np.load(finished / "gallery.npz") as gallery:
        assert gallery["neighbors"].shape == (24, 6)
        assert np.isin(gallery["query"], test).all() and np.isin(gallery["neighbors"], test).all()
        assert (gallery["neighbors"] != gallery["query"][:, None]).all()
        assert (gallery["neighbor_label"] == data.labels[gallery["neighbors"]]).all()
        assert (gallery["query_image"] == data.images[gallery["query"]]).all()


def test_record_keeper_and_tensorboard_have_written(finished: Path) -> None:
    (scores,) = finished.glob("records/accuracies_*_TEST_vs_self.csv")
    assert len(scores.read_text().splitlines()) == 1 + 5
    assert "mean_average_precision_at_r" in scores.read_text()
    assert (finished / "records/logs.db").stat().st_size > 0
    assert list(finished.glob("tensorboard/*/events*"))


@pytest.mark.slow
@pytest.mark.parametrize("names", [("triplet", "ee"), ("proxy_anchor", "ps"), ("proxy_anchor", "iaa_ps")])
def test_the_same_command_gives_the_same_numbers(names: tuple[str, str], tmp_path: Path) -> None:
    choice = [f"loss={names[0]}", f"method={names[1]}"]
    first, second = (run_tiny(tmp_path / where, *choice) for where in "ab")
    assert numbers(first) == numbers(second)
    for name in ("queries.npz", "gallery.npz"):
        with np.load(first / name) as one, np.load(second / name) as other:
            assert all((one[key] == other[key]).all() for key in one.files)


@pytest.mark.slow
@pytest.mark.parametrize(
    "names", [("multi_similarity", "ee"), ("proxy_anchor", "ps"), ("multi_similarity", "iaa"), ("triplet", "idml")]
)
def test_a_method_and_its_baseline_loss_see_the_same_images(
    names: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    original = EpochTrainer.get_batch

    def listening(self: EpochTrainer) -> tuple[torch.Tensor, torch.Tensor]:
        batch = original(self)
        seen.append(batch[0])
        return batch

    monkeypatch.setattr(EpochTrainer, "get_batch", listening)
    loss, method = names
    results = [run_tiny(tmp_path, f"loss={loss}", f"method={name}") for name in ("none", method)]
    assert len(seen) == 2 * 16
    assert all(torch.equal(baseline, wrapped) for baseline, wrapped in zip(seen[:16], seen[16:], strict=True))
    baseline, wrapped = (numbers(folder)["history"] for folder in results)
    assert baseline[0] == wrapped[0]  # the same weights before the first step
    assert baseline[-1] != wrapped[-1]  # and the method does something


def test_a_loss_that_is_no_number_stops_the_run_unfinished(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="the loss became nan in epoch 1"):
        run_tiny(tmp_path, "protocol.optimizer.lr=1e30")
    (failed,) = tmp_path.glob("*/failed")
    assert failed.read_text().startswith("the loss became nan in epoch 1; ")
    assert not (failed.parent / "done").exists()


def test_the_command_trains_once_and_then_finds_it_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", *SETTINGS, "protocol.epochs=1", f"runs={tmp_path}"]
    assert main(words) == 0
    (folder,) = tmp_path.iterdir()
    assert capsys.readouterr().out == f"done: {folder}\n"
    written = (folder / "result.json").stat().st_mtime_ns
    assert main(words) == 0
    assert capsys.readouterr().out == f"already done: {folder}\n"
    assert (folder / "result.json").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ["loss=multi_similarity", "method=ps"],
            "loss=multi_similarity method=ps cannot be built: ProxySynthesis cannot",
        ),
        (["loss=tripelt"], "unknown loss 'tripelt'; the nearest known one is 'triplet'"),
        (["data=npz", "data.path=/no/such/file.npz"], "/no/such/file.npz"),
        (["fold=7"], "fold must be between 0 and 3"),
        (["protocol.batch_size=64"], "needs 16 training classes, but data=glyphs has 9"),
        (["device=nosuch"], "device must be auto, cpu, cuda, cuda:1 or mps, but got 'nosuch'"),
    ],
)
def test_the_command_refuses_in_one_sentence(
    overrides: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *SETTINGS, f"runs={tmp_path}", *overrides]) == 2
    shown = capsys.readouterr().err
    assert sentence in shown and len(shown.splitlines()) == 1
    assert not list(tmp_path.iterdir())  # not even an unfinished folder, which would stand in a report's way


def test_a_finished_run_counts_only_for_the_images_that_it_was_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.npz"

    def write(seed: int) -> None:
        noise = np.random.default_rng(seed)
        np.savez(path, images=noise.integers(0, 256, (96, 12, 12, 1), np.uint8), labels=np.arange(96) // 4)

    words = ["run", *SETTINGS, "data=npz", f"data.path={path}", "protocol.epochs=1", f"runs={tmp_path / 'runs'}"]
    write(seed=0)
    assert main(words) == 0 and main(words) == 0
    assert "already done" in capsys.readouterr().out
    write(seed=1)
    _load.cache_clear()  # as in a new process
    assert main(words) == 2
    assert "was trained on other images than data=npz has now" in capsys.readouterr().err
