"""Trainings without a test set, and with classes of one image, from the configuration to result.json."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import run_tiny

from benchmarks.__main__ import main
from benchmarks.config.compose import compose
from benchmarks.models import load_model
from benchmarks.training.train import read_data


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Images of 24 classes of three images and six of one."""
    path, random = tmp_path_factory.mktemp("data") / "mine.npz", np.random.default_rng(0)
    labels = np.concatenate([np.repeat(np.arange(24), 3), np.arange(24, 30)])
    np.savez(path, images=random.integers(0, 256, (len(labels), 12, 12), dtype=np.uint8), labels=labels)
    return ["data=npz", f"data.path={path}", "data.num_classes=null"]


@pytest.mark.slow
def test_a_model_trained_on_all_classes_claims_no_test_score(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for scoring in ("once", "every"):
        runs = tmp_path / scoring
        folder = run_tiny(runs, "data.train_on=all", f"protocol.test_scoring={scoring}", "keep=weights")
        result = json.loads((folder / "result.json").read_text())
        assert result["data"]["classes"] == {"train": 24, "val": 0, "test": 0}
        assert result["selection"]["last"] == {"oracle": False, "epoch": 4, "val": None, "test": None}
        assert result["test_scorings"] == 0 and len(load_model(folder).description.data.classes) == 24
        assert not (folder / "queries.npz").exists()
    assert main(["report", str(runs)]) == 2
    assert "no run in" in capsys.readouterr().err
    assert main(["suite", "smoke", "data.train_on=all", f"runs={tmp_path}"]) == 2
    assert "data.train_on=all leaves no test set" in capsys.readouterr().err


def test_classes_of_one_image_are_searched_but_are_no_queries(tmp_path: Path, single: list[str]) -> None:
    with pytest.raises(ValueError, match="6 of 30 classes have a single image .* data.single_images=distractors"):
        run_tiny(tmp_path, *single)
    folder = run_tiny(tmp_path, *single, "data.single_images=distractors")
    result = json.loads((folder / "result.json").read_text())
    assert result["data"]["images"]["test"] == 12 * 3 + 6
    with np.load(folder / "queries.npz") as queries, np.load(folder / "gallery.npz") as gallery:
        scores = queries["mean_average_precision_at_r"]
        assert np.isnan(scores).sum() == 6 and gallery["query_label"].max() < 24 <= gallery["neighbor_label"].max()
    chosen = result["selection"]["validation"]["test"]["mean_average_precision_at_r"]
    assert np.nanmean(scores) == pytest.approx(chosen, abs=1e-12)


def test_features_of_classes_of_one_image_are_computed_and_used_as_images_are(
    tmp_path: Path, single: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out, keys = tmp_path / "features.npz", ["trunk.network.widths=[4,8]", "quiet=true", "device=cpu"]
    assert main(["features", *single, "data.single_images=distractors", *keys, "--out", str(out)]) == 0
    assert main(["data", "check", "features", f"data.path={out}", "data.drop_constant=true"]) == 1
    assert "6 of 30 classes have a single image" in capsys.readouterr().out
    config, _ = compose(["data=features", f"data.path={out}", "data.drop_constant=true", "loss=raw"])
    config = replace(config, data=replace(config.data, single_images="distractors"))
    assert len(read_data(config)[1].test) == 12 * 3 + 6


def test_proxies_are_trained_on_classes_of_one_image(tmp_path: Path, single: list[str]) -> None:
    settings = [*single, "data.single_images=train", "loss=normalized_softmax"]
    result = json.loads((run_tiny(tmp_path, *settings) / "result.json").read_text())
    assert result["data"]["classes"] == {"train": 9 + 6, "val": 3, "test": 12}
