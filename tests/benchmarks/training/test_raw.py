from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import numbers
from torch import nn

from benchmarks.config.compose import RunConfig, RunOptions, compose
from benchmarks.errors import UserError
from benchmarks.models import load_model
from benchmarks.runs.reader import read_run
from benchmarks.runs.schema import PRIMARY
from benchmarks.training.check import check
from benchmarks.training.raw import set_statistics
from benchmarks.training.train import train

CLASSES, PER_CLASS = 20, 3


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Three rows of each class, of which a loud column of noise hides what two quiet ones tell."""
    random = np.random.default_rng(0)
    labels = np.arange(CLASSES).repeat(PER_CLASS)
    angle = 2 * np.pi * labels / CLASSES + 0.05 * random.normal(size=len(labels))
    columns = [np.cos(angle), np.sin(angle), 2 + 3 * random.normal(size=len(labels))]
    return {"features": np.stack(columns, axis=1).astype(np.float32), "labels": labels}


@pytest.fixture(scope="module")
def file(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("raw") / "mine.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def configured(file: Path, runs: Path, *overrides: str) -> tuple[RunConfig, RunOptions]:
    words = ["data=features", f"data.path={file}", "data.name=mine", f"runs={runs}", "device=cpu", "quiet=true"]
    return compose([*words, *overrides])


def map_at_r(rows: np.ndarray, labels: np.ndarray) -> float:
    """By the definition, with two other rows per class."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = unit @ unit.T - 9 * np.eye(len(rows))
    hits = (labels[np.argsort(-cosines, axis=1)[:, :2]] == labels[:, None]).astype(float)
    return float((hits[:, 0] + hits[:, 1] * (hits[:, 0] + hits[:, 1]) / 2).mean() / 2)


@pytest.mark.parametrize("loss", ["raw", "raw_standardized"])
def test_features_as_they_are_are_scored_by_cosine(
    loss: str, arrays: dict[str, np.ndarray], file: Path, tmp_path: Path
) -> None:
    run = read_run(train(*configured(file, tmp_path, f"loss={loss}", "fold=1")))
    rows, labels = arrays["features"].astype(np.float64), arrays["labels"]
    learned = rows[np.isin(labels, [0, 1, 5, 6, 7, 8, 9])]  # fold 1 validates on classes 2 to 4
    if loss == "raw_standardized":
        rows = (rows - learned.mean(axis=0)) / learned.std(axis=0)
    test = labels >= CLASSES // 2
    assert run.images["train"] == len(learned)
    assert run.selected().test[PRIMARY] == pytest.approx(map_at_r(rows[test], labels[test]), abs=1e-9)
    assert run.is_raw and run.facts["embedding size"] == 3 and run.chosen_epoch == 0 and run.test_scorings == 1
    assert (run.cost.seconds_per_step, run.facts["images seen"]) == (0, 0)


def test_standardised_features_are_those_that_a_training_gets(file: Path, tmp_path: Path) -> None:
    identity = ["protocol.test_scoring=every", "protocol.epochs=1", "protocol.iterations_per_epoch=1"]
    sized = ["protocol.batch_size=8", "protocol.embedding_size=3", "protocol.embedder.kind=residual"]
    trained = numbers(train(*configured(file, tmp_path, "loss=normalized_softmax", *identity, *sized)))
    raw = numbers(train(*configured(file, tmp_path, "loss=raw_standardized", *identity)))
    assert raw["history"][0] == trained["history"][0]  # a residual embedder starts as the identity
    assert set(raw["selection"]) == {"validation", "last", "test"}


def test_one_run_serves_all_seeds_lengths_and_settings_of_the_trainings_beside_it(file: Path, tmp_path: Path) -> None:
    config, _ = configured(file, tmp_path, "loss=raw")
    same = ["seed=3", "protocol.epochs=7", "protocol.optimizer.lr=0.1", "data.standardize=true", "trunk.freeze=all"]
    assert configured(file, tmp_path, "loss=raw", *same)[0].identity() == config.identity()
    assert replace(config, seed=5).identity() == config.identity()
    for other in ("fold=1", "protocol.num_folds=5", "loss=raw_standardized", "data.num_classes=18"):
        assert configured(file, tmp_path, "loss=raw", other)[0].identity() != config.identity()


def test_images_are_scored_through_the_trunk(tmp_path: Path) -> None:
    small = ["data.num_classes=24", "data.image_size=12", "trunk.network.widths=[4,8]", "trunk.freeze=all"]
    config, options = compose(["loss=raw_standardized", *small, f"runs={tmp_path}", "device=cpu", "quiet=true"])
    check(config)
    run = read_run(train(config, options))
    assert run.facts["embedding size"] == 8 and 0 < run.selected().test[PRIMARY] < 1
    assert set(run.selection) == {"validation", "last", "test"}
    assert (run.path / "queries.npz").exists() and (run.path / "gallery.npz").exists()


def test_no_method_can_act_where_nothing_is_trained(file: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="loss=raw trains nothing, .* method must be none, but got ee"):
        configured(file, tmp_path, "loss=raw", "method=ee")


def test_statistics_of_batches_are_those_of_all_rows() -> None:
    rows = torch.randn(37, 4) * torch.tensor([1e-3, 1.0, 1e3, 0.0]) + torch.tensor([0.05, 0.0, -1e4, 0.1])
    norm = nn.BatchNorm1d(4, eps=1e-30, affine=False).eval()
    set_statistics(norm, rows.split(10))
    standardised = norm(rows).double()
    torch.testing.assert_close(standardised.mean(dim=0), torch.zeros(4).double(), atol=1e-5, rtol=0)
    deviation = torch.tensor([1.0, 1.0, 1.0, 0.0]).double()  # the last column does not vary
    torch.testing.assert_close(standardised.std(dim=0, correction=0), deviation, atol=1e-5, rtol=0)


@pytest.mark.parametrize("loss", ["raw", "raw_standardized"])
def test_the_model_of_raw_features_gives_the_embeddings_that_were_scored(
    loss: str, arrays: dict[str, np.ndarray], file: Path, tmp_path: Path
) -> None:
    run = train(*configured(file, tmp_path, f"loss={loss}", "protocol.keep_embeddings=true"))
    model, kept = load_model(run), np.load(run / "embeddings.npy")
    found = model(torch.from_numpy(arrays["features"][arrays["labels"] >= CLASSES // 2]))
    assert model.embedding_size == 3
    np.testing.assert_allclose(found.detach().numpy(), kept / np.linalg.norm(kept, axis=1, keepdims=True), atol=1e-6)
