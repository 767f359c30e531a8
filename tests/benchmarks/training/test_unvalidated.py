"""Trainings on the whole training half, from the command to the report."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_training import TINY

from benchmarks.__main__ import main
from benchmarks.config.compose import compose
from benchmarks.errors import UserError
from benchmarks.training.train import read_data, train

SETTINGS = [
    *TINY,
    "data.image_size=16",
    "loss=triplet",
    "protocol=smoke",
    "protocol.num_folds=1",
    "protocol.iterations_per_epoch=4",
    "protocol.epochs=3",
]


def run_tiny(runs: Path, *overrides: str) -> tuple[Path, dict[str, Any]]:
    folder = train(*compose([*SETTINGS, f"runs={runs}", *overrides]))
    return folder, json.loads((folder / "result.json").read_text())


@pytest.mark.slow
def test_a_training_without_validation_ends_in_a_report_on_its_last_epoch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    folder, result = run_tiny(runs, "protocol.keep_embeddings=true")
    assert result["data"]["classes"] == {"train": 12, "val": 0, "test": 12}
    assert [(entry["epoch"], entry["val"]) for entry in result["history"]] == [(epoch, None) for epoch in range(4)]
    assert result["test_scorings"] == 4
    last, best = result["selection"]["last"], result["selection"]["test"]
    assert list(result["selection"]) == ["last", "test"] and not last["oracle"] and best["oracle"]
    assert last == {"oracle": False, **{key: result["history"][-1][key] for key in ("epoch", "val", "test")}}
    tested = [entry["test"]["mean_average_precision_at_r"] for entry in result["history"]]
    assert best["test"]["mean_average_precision_at_r"] == max(tested)
    with np.load(folder / "queries.npz") as queries:
        assert queries["mean_average_precision_at_r"].mean() == pytest.approx(tested[-1], abs=1e-12)
    assert np.load(folder / "embeddings.npy").shape == (result["data"]["images"]["test"], 8)
    run_tiny(runs, "protocol.keep_embeddings=true", "method=ee")
    assert main(["report", str(runs)]) == 0
    text = (runs / "report" / "report.md").read_text()
    head = next(line for line in text.splitlines() if line.startswith("| Loss | Method | Last epoch, fair"))
    assert "Best epoch on the test set (as published), oracle" in head
    baseline = next(line for line in text.splitlines() if line.startswith("| Triplet | baseline | 1 | 1 |"))
    assert baseline.endswith(f"| {100 * tested[-1]:.1f} [–] |")


def test_scored_once_the_last_weights_give_what_they_give_when_every_epoch_is_scored(tmp_path: Path) -> None:
    every, once = (run_tiny(tmp_path, f"protocol.test_scoring={often}")[1] for often in ("every", "once"))
    assert once["selection"] == {"last": every["selection"]["last"]}
    assert once["test_scorings"] == 1 and {entry["test"] is None for entry in once["history"]} == {True}


def test_there_is_one_fold_and_no_other(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="fold must be between 0 and 0"):
        read_data(compose([*SETTINGS, "fold=1"])[0])


def test_tuning_without_validation_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "smoke", "protocol.num_folds=1", f"runs={tmp_path / 'runs'}"]) == 2
    shown = capsys.readouterr().err
    assert "protocol smoke has no validation (protocol.num_folds=1), but test_scoring=never, as in tuning" in shown
    assert "protocol.num_folds=4" in shown and not (tmp_path / "runs").exists()
