import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from benchmarks import run
from benchmarks.__main__ import main
from benchmarks.config import compose
from benchmarks.datasets import load
from benchmarks.engine import checkpoint, sealed, training
from benchmarks.engine.trainer import EpochTrainer
from benchmarks.errors import Refusal
from benchmarks.protocol import class_disjoint_split
from benchmarks.run import train

TINY = [
    "data.num_classes=24",
    "data.image_size=12",
    "trunk.network.widths=[4,8]",
    "protocol.batch_size=8",
    "protocol.iterations_per_epoch=4",
    "protocol.epochs=4",
    "protocol.evaluate_every=1",
    "protocol.embedding_size=8",
    "quiet=true",
    "device=cpu",
]


def run_tiny(runs: Path, *overrides: str) -> Path:
    return train(*compose([*TINY, f"runs={runs}", *overrides]))


def numbers(folder: Path) -> dict[str, Any]:
    """All of result.json but what the clock says."""
    result = json.loads((folder / "result.json").read_text())
    del result["cost"]
    return result


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_tiny(tmp_path_factory.mktemp("runs"), "loss=proxy_anchor", "method=ps")


def test_a_finished_folder_holds_everything_that_a_report_reads(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    expected = {"config.yaml", "environment.json", "records", "tensorboard", "queries.npz", "gallery.npz"}
    assert names == expected | {"test_scorings.jsonl", "result.json", "done", "lock"}
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
    data = load({"name": "glyphs", "kind": "glyphs", "path": None, "image_size": 12, "num_classes": 24})
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
    assert list(finished.glob("tensorboard/events*"))


@pytest.mark.parametrize("names", [("triplet", "ee"), ("proxy_anchor", "ps"), ("proxy_anchor", "iaa_ps")])
def test_the_same_command_gives_the_same_numbers(names: tuple[str, str], tmp_path: Path) -> None:
    choice = [f"loss={names[0]}", f"method={names[1]}"]
    first, second = (run_tiny(tmp_path / where, *choice) for where in "ab")
    assert numbers(first) == numbers(second)
    for name in ("queries.npz", "gallery.npz"):
        with np.load(first / name) as one, np.load(second / name) as other:
            assert all((one[key] == other[key]).all() for key in one.files)


@pytest.mark.parametrize(
    "names", [("multi_similarity", "ee"), ("proxy_anchor", "ps"), ("multi_similarity", "iaa"), ("triplet", "idml")]
)
def test_a_method_and_its_bare_loss_see_the_same_images(
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
    assert all(torch.equal(bare, wrapped) for bare, wrapped in zip(seen[:16], seen[16:], strict=True))
    bare, wrapped = (numbers(folder)["history"] for folder in results)
    assert bare[0] == wrapped[0]  # the same weights before the first step
    assert bare[-1] != wrapped[-1]  # and the method does something


@pytest.mark.parametrize(
    "names", [("multi_similarity", "ee"), ("proxy_anchor", "ps"), ("multi_similarity", "iaa"), ("proxy_anchor", "idml")]
)
def test_an_interrupted_run_ends_as_if_it_had_not_been(
    names: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = [f"loss={names[0]}", f"method={names[1]}"]
    whole = run_tiny(tmp_path / "whole", *choice)
    original = sealed.save

    def interrupted(path: Path, previous: Path, state: Any) -> None:
        if state["epoch"] == 3:
            raise KeyboardInterrupt  # after the evaluation of epoch 3 was recorded, before it was saved
        original(path, previous, state)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(sealed, "save", interrupted)
        run_tiny(tmp_path / "parts", *choice)
    (folder,) = (tmp_path / "parts").iterdir()
    assert (folder / "checkpoint.pt").exists() and not (folder / "done").exists()

    torch.rand(5)
    assert run_tiny(tmp_path / "parts", *choice) == folder
    assert numbers(folder) == numbers(whole)
    assert not (folder / "checkpoint.pt").exists()
    for csv in whole.glob("records/*.csv"):
        assert (folder / "records" / csv.name).read_text() == csv.read_text()


def interrupt_after(epoch: int, monkeypatch: pytest.MonkeyPatch, runs: Path) -> Path:
    """The folder of a run that was stopped right after the checkpoint of an epoch."""
    original = sealed.save

    def interrupted(path: Path, previous: Path, state: Any) -> None:
        original(path, previous, state)
        if state["epoch"] == epoch:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(sealed, "save", interrupted)
        run_tiny(runs)
    return next(path.parent for path in runs.glob("*/checkpoint.pt"))


@pytest.mark.parametrize(
    ("damaged", "sentence"),
    [
        (["checkpoint.pt"], "going back to checkpoint.previous.pt"),
        (["checkpoint.pt", "checkpoint.previous.pt"], "starting from scratch"),
    ],
)
def test_damaged_checkpoints_cost_time_and_no_numbers(
    damaged: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = run_tiny(tmp_path / "whole")
    folder = interrupt_after(2, monkeypatch, tmp_path / "parts")
    for name in damaged:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:500] + b"x" + content[501:])
    capsys.readouterr()
    assert run_tiny(tmp_path / "parts") == folder
    assert sentence in capsys.readouterr().err
    assert numbers(folder) == numbers(whole)
    for csv in whole.glob("records/*.csv"):
        assert (folder / "records" / csv.name).read_text() == csv.read_text()


def test_a_checkpoint_of_another_layout_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = interrupt_after(2, monkeypatch, tmp_path)
    monkeypatch.setattr(checkpoint, "VERSION", checkpoint.VERSION + 1)
    run_tiny(tmp_path)
    assert "written by another version of this code; starting from scratch" in capsys.readouterr().err
    assert json.loads((folder / "result.json").read_text())["cost"]["sessions"] == 1


def test_a_resumed_run_adds_its_sessions_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_after(2, monkeypatch, tmp_path)
    cost = json.loads((run_tiny(tmp_path) / "result.json").read_text())["cost"]
    assert cost["sessions"] == 2 and cost["total_seconds"] > cost["train_seconds"]


def test_long_epochs_are_saved_between_evaluations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    original = sealed.save

    def listening(path: Path, previous: Path, state: Any) -> None:
        saved.append(state["epoch"])
        original(path, previous, state)

    monkeypatch.setattr(sealed, "save", listening)
    monkeypatch.setattr(training, "SAVE_AFTER", 0.0)
    run_tiny(tmp_path, "protocol.evaluate_every=4")
    assert saved == [0, 1, 2, 3, 4]


def test_a_full_disk_ends_a_run_with_its_reason_and_the_next_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_tiny(tmp_path / "whole")
    original = sealed.save

    def full(path: Path, previous: Path, state: Any) -> None:
        if state["epoch"] == 3:
            raise OSError(28, "No space left on device")
        original(path, previous, state)

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr(sealed, "save", full)
        run_tiny(tmp_path / "parts")
    (failed,) = (tmp_path / "parts").glob("*/failed")
    assert failed.read_text().startswith("OSError: [Errno 28] No space left on device\n")
    folder = run_tiny(tmp_path / "parts")
    assert not failed.exists() and numbers(folder) == numbers(whole)


def test_the_test_set_is_scored_never_once_or_every_time(tmp_path: Path) -> None:
    every, once, never = (run_tiny(tmp_path, f"protocol.test_scoring={rule}") for rule in ("every", "once", "never"))
    assert [numbers(folder)["test_scorings"] for folder in (every, once, never)] == [5, 1, 0]
    looked = [(folder / "test_scorings.jsonl") for folder in (every, once)]
    assert [len(path.read_text().splitlines()) for path in looked] == [5, 1]
    assert not (never / "test_scorings.jsonl").exists() and not (never / "queries.npz").exists()
    chosen = [numbers(folder)["selection"]["validation"] for folder in (every, once, never)]
    assert chosen[0] == chosen[1] == {**chosen[2], "test": chosen[0]["test"]}
    assert chosen[2]["test"] is None
    assert (every / "queries.npz").read_bytes() == (once / "queries.npz").read_bytes()
    assert {entry["test"] is None for entry in numbers(once)["history"]} == {True}


@pytest.mark.parametrize("rule", ["once", "every"])
def test_the_test_embeddings_are_kept_if_asked_for(rule: str, tmp_path: Path) -> None:
    folder = run_tiny(tmp_path, f"protocol.test_scoring={rule}", "protocol.keep_embeddings=true")
    embeddings = np.load(folder / "embeddings.npy")
    assert embeddings.dtype == np.float32
    assert embeddings.shape == (numbers(folder)["data"]["images"]["test"], 8)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)


def with_gallery(monkeypatch: pytest.MonkeyPatch, also_both: bool = False) -> np.ndarray:
    """Let a data set's authors say which test images ask and which are searched; the partition they gave."""
    data = load({"name": "glyphs", "kind": "glyphs", "path": None, "image_size": 12, "num_classes": 24})
    partition = np.where(data.labels < 12, 0, np.where(np.arange(len(data.labels)) % 3 == 0, 2, 3)).astype(np.uint8)
    if also_both:
        partition[-1] = 1
    monkeypatch.setattr(run, "_load", lambda group: replace(data, partition=partition))
    return partition


def test_queries_search_the_gallery_where_the_data_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partition = with_gallery(monkeypatch)
    folder = run_tiny(tmp_path, "protocol.test_scoring=once", "protocol.keep_embeddings=true")
    images = numbers(folder)["data"]["images"]
    assert (images["test"], images["gallery"]) == ((partition == 2).sum(), (partition == 3).sum())
    with np.load(folder / "gallery.npz") as shown:
        assert set(partition[shown["query"]]) == {2} and set(partition[shown["neighbors"]].ravel()) == {3}
    with np.load(folder / "queries.npz") as queries:
        assert len(queries["labels"]) == images["test"]
        chosen = numbers(folder)["selection"]["validation"]["test"]
        assert queries["precision_at_1"].mean() == pytest.approx(chosen["precision_at_1"], abs=1e-12)
        found, asked = np.load(folder / "gallery_embeddings.npy"), np.load(folder / "embeddings.npy")
        searched, labels = np.flatnonzero(partition == 3), load_labels()
        nearest = labels[searched][(asked @ found.T).argmax(axis=1)]
        assert (nearest == queries["labels"]).mean() == pytest.approx(chosen["precision_at_1"], abs=0.02)


def load_labels() -> np.ndarray:
    return load({"name": "glyphs", "kind": "glyphs", "path": None, "image_size": 12, "num_classes": 24}).labels


def test_images_that_would_find_themselves_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_gallery(monkeypatch, also_both=True)
    with pytest.raises(Refusal, match="1 images are queries and in the gallery"):
        run_tiny(tmp_path)


@pytest.mark.parametrize("names", [("proxy_anchor", "ps"), ("proxy_anchor", "idml")])
def test_how_often_a_run_is_evaluated_changes_nothing_of_its_training(names: tuple[str, str], tmp_path: Path) -> None:
    choice = [f"loss={names[0]}", f"method={names[1]}"]
    often, once = (
        numbers(run_tiny(tmp_path, *choice, f"protocol.evaluate_every={epochs}"))["history"] for epochs in (1, 4)
    )
    assert often[-1] == once[-1]


def test_patience_ends_a_run_that_no_longer_improves(tmp_path: Path) -> None:
    folder = run_tiny(tmp_path, "protocol.patience=1", "protocol.optimizer.lr=0", "protocol.epochs=9")
    assert [entry["epoch"] for entry in numbers(folder)["history"]][-1] < 9


def test_the_last_epoch_is_evaluated_even_out_of_turn(tmp_path: Path) -> None:
    folder = run_tiny(tmp_path, "protocol.evaluate_every=3")
    assert [entry["epoch"] for entry in numbers(folder)["history"]] == [0, 3, 4]


def test_a_loss_that_is_no_number_stops_the_run_unfinished(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="the loss became nan in epoch 1"):
        run_tiny(tmp_path, "loss.criterion.base=nan")
    (failed,) = tmp_path.glob("*/failed")
    assert failed.read_text().startswith("FloatingPointError: the loss became nan in epoch 1\n")
    assert not (failed.parent / "done").exists()


def test_the_command_trains_once_and_then_finds_it_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", *TINY, "protocol.epochs=1", f"runs={tmp_path}"]
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
        (["device=nosuch"], "device=nosuch cannot be used"),
    ],
)
def test_the_command_refuses_in_one_sentence(
    overrides: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *TINY, f"runs={tmp_path}", *overrides]) == 2
    shown = capsys.readouterr().err
    assert sentence in shown and len(shown.splitlines()) == 1
    assert not list(tmp_path.iterdir())  # not even an unfinished folder, which would stand in a report's way
