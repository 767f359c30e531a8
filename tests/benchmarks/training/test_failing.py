"""Trainings that cannot succeed end with a reason, without a traceback at the terminal and without a result."""

from pathlib import Path

import numpy as np
import pytest
from tiny_runs import SETTINGS, run_tiny

from benchmarks.__main__ import main
from benchmarks.errors import TrainingError, UserError
from benchmarks.training import train as run
from benchmarks.training.trainer import EpochTrainer

ZERO = "the loss was exactly zero in every step of epoch 1"
NO_TUPLES = "found no pairs or triplets in any step of epoch 1"
DIVERGED = "became (nan|NaN|inf)"
BLIND_MINER = "loss.miner={_target_: pytorch_metric_learning.miners.PairMarginMiner, pos_margin: 9, neg_margin: -9}"
REGULARIZED = (
    "loss.criterion={_target_: pytorch_metric_learning.losses.TripletMarginLoss, "
    "embedding_regularizer: {_target_: pytorch_metric_learning.regularizers.LpRegularizer}}"
)


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["loss=triplet", "loss.criterion.margin=-9"], ZERO),
        (["loss=multi_similarity", "loss.miner.epsilon=-9"], ZERO),
        (["loss=triplet", BLIND_MINER, REGULARIZED], NO_TUPLES),
        (["loss=triplet", "method=ee", BLIND_MINER, REGULARIZED], NO_TUPLES),
        (["loss=multi_similarity", "protocol.optimizer.lr=1e30"], DIVERGED),
        (["loss=triplet", "protocol.optimizer.lr=1e30"], DIVERGED),
        (["loss=triplet_distance_weighted", "protocol.optimizer.lr=1e30"], DIVERGED),  # the miner raises
        (["loss=multi_similarity", "method=iaa", "protocol.optimizer.lr=1e30"], DIVERGED),  # the hook would raise
    ],
)
def test_a_training_that_learns_nothing_fails_with_the_reason(
    overrides: list[str], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=reason):
        run_tiny(tmp_path, "protocol.test_scoring=never", *overrides)
    (failed,) = tmp_path.glob("*/failed")
    assert "Traceback" in failed.read_text() and not (failed.parent / "done").exists()


def test_an_epoch_without_loss_after_others_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def silent(self: EpochTrainer) -> None:
        original(self)
        if self.epoch == 3:
            self.losses["total_loss"] = self.losses["total_loss"] * 0

    original = EpochTrainer.forward_and_backward
    monkeypatch.setattr(EpochTrainer, "forward_and_backward", silent)
    folder = run_tiny(tmp_path)
    assert (folder / "done").exists()
    assert "the loss was exactly zero in every step of epoch 3: nothing was left to learn" in capsys.readouterr().err


def test_a_diverging_training_shows_one_line_and_keeps_the_traceback_in_its_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *SETTINGS, f"runs={tmp_path}", "protocol.optimizer.lr=1e30"]) == 1
    shown = capsys.readouterr().err
    (failed,) = tmp_path.glob("*/failed")
    assert len(shown.splitlines()) == 1 and "diverged" in shown and str(failed) in shown
    assert "Traceback" in failed.read_text()


def test_a_refused_training_leaves_no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UserError("refused")

    with monkeypatch.context() as patched, pytest.raises(UserError, match="refused"):
        patched.setattr(run, "Training", refuse)
        run_tiny(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] in ([], ["audits"])


def test_a_finished_run_of_other_images_is_refused(tmp_path: Path) -> None:
    labels = np.arange(96) // 4
    data = ["data=npz", f"data.path={tmp_path / 'data.npz'}", "data.name=mine", "protocol.epochs=1"]

    def trained(seed: int) -> Path:
        images = np.random.RandomState(seed).randint(256, size=(96, 12, 12, 1)).astype(np.uint8)
        np.savez(tmp_path / "data.npz", images=images, labels=labels)
        run._load.cache_clear()
        return run_tiny(tmp_path / "runs", *data)

    folder = trained(0)
    assert trained(0) == folder
    with pytest.raises(UserError, match="was trained on other images than data=mine has now"):
        trained(1)
