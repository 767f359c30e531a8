"""When a training is scored, on which images, and what is kept of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import numbers, run_tiny

from benchmarks.config.data import DataConfig
from benchmarks.data import load
from benchmarks.errors import UserError
from benchmarks.training import train as run


@pytest.mark.slow
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
    data = load(DataConfig("glyphs", "glyphs", image_size=12, num_classes=24))
    partition = np.where(data.labels < 12, 0, np.where(np.arange(len(data.labels)) % 3 == 0, 2, 3)).astype(np.uint8)
    if also_both:
        partition[-1] = 1
    monkeypatch.setattr(run, "_load", lambda group: replace(data, partition=partition))
    return partition


@pytest.mark.slow
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
    return load(DataConfig("glyphs", "glyphs", image_size=12, num_classes=24)).labels


def test_images_that_would_find_themselves_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_gallery(monkeypatch, also_both=True)
    with pytest.raises(UserError, match="1 images queries that are also in the gallery"):
        run_tiny(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("names", [("proxy_anchor", "ps"), ("proxy_anchor", "idml")])
def test_how_often_a_run_is_evaluated_changes_nothing_of_its_training(names: tuple[str, str], tmp_path: Path) -> None:
    choice = [f"loss={names[0]}", f"method={names[1]}"]
    often, once = (
        numbers(run_tiny(tmp_path, *choice, f"protocol.evaluate_every={epochs}"))["history"] for epochs in (1, 4)
    )
    assert often[-1] == once[-1]


def test_patience_ends_a_run_that_no_longer_improves(tmp_path: Path) -> None:
    folder = run_tiny(tmp_path, "protocol.patience=1", "protocol.optimizer.lr=1e-30", "protocol.epochs=9")
    assert [entry["epoch"] for entry in numbers(folder)["history"]][-1] < 9


def test_the_last_epoch_is_evaluated_even_out_of_turn(tmp_path: Path) -> None:
    folder = run_tiny(tmp_path, "protocol.evaluate_every=3")
    assert [entry["epoch"] for entry in numbers(folder)["history"]] == [0, 3, 4]
