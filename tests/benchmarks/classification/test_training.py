"""Classifiers train, in pairs, and end the same after an interruption."""

import json
import signal
from pathlib import Path
from typing import Any

import killed_classification
import numpy as np
import pytest
import torch
from forked import start
from tqdm import tqdm

from benchmarks.classification.train import read_classification, train_classifier
from benchmarks.classification.training import ClassifierTraining
from benchmarks.config.classification import compose_classification
from benchmarks.errors import TrainingError, UserError
from benchmarks.runs.reader import read_run
from benchmarks.runs.writer import RunDir

TINY = [
    "data.num_classes=12", "data.image_size=16", "trunk.network.widths=[4,8]", "protocol.batch_size=32",
    "protocol.epochs=3", "protocol.evaluate_every=1", "quiet=true", "device=cpu",
]  # fmt: skip


def run(runs: Path, *words: str) -> Path:
    return train_classifier(*compose_classification([*TINY, *words, f"runs={runs}"]))


def outcome(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    del found["cost"]
    return found


def test_a_finished_run_is_read_with_its_metrics(tmp_path: Path) -> None:
    folder = run(tmp_path, "loss=introspective_softmax", "mix=mixup")
    read = read_run(folder)
    assert (read.loss, read.method, read.rule, read.seed) == ("softmax+mixup", "introspective", "last", 0)
    assert set(read.selected().test) == {"top_1", "top_5", "calibration_error"}
    assert [entry.epoch for entry in read.history] == [0, 1, 2, 3]
    with np.load(folder / "queries.npz") as arrays:
        assert arrays["top_1"].mean() == pytest.approx(read.selected().test["top_1"])
        assert len(arrays["confidence"]) == read.images["test"]
    before = (folder / "result.json").stat().st_mtime_ns
    assert run(tmp_path, "loss=introspective_softmax", "mix=mixup") == folder
    assert (folder / "result.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("mix", ["none", "cutmix"])
def test_both_losses_begin_with_the_same_weights_and_see_the_same_images(mix: str, tmp_path: Path) -> None:
    seen, weights = [], []
    for loss in ("softmax", "introspective_softmax"):
        config, _ = compose_classification([*TINY, f"loss={loss}", f"mix={mix}"])
        data, split, _ = read_classification(config)
        folder = RunDir(tmp_path, config.identity())
        training = ClassifierTraining(config, data, split, torch.device("cpu"), folder, tqdm(disable=True))
        weights.append([*training.trunk.parameters(), *training.loss.classifier.parameters()])
        batches: list[tuple[torch.Tensor, torch.Tensor]] = []
        step = training.step
        training.step = lambda *batch, into=batches, step=step: (into.append(batch), step(*batch))[1]  # type: ignore
        if loss == "softmax":
            weights[0] = [weight.detach().clone() for weight in weights[0]]
        else:
            assert all(torch.equal(*pair) for pair in zip(*weights, strict=True))
        training.epoch = 1
        training.train_epoch()
        seen.append(batches)
    assert len(seen[0]) > 2
    for (images, targets), (others, same) in zip(*seen, strict=True):
        assert torch.equal(images, others) and torch.equal(targets, same)


def test_an_interrupted_training_ends_with_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["mix=cutmix", "loss=introspective_softmax"]
    whole = run(tmp_path / "whole", *words)
    evaluate = ClassifierTraining.evaluate

    def interrupted(self: ClassifierTraining, loss: float | None) -> None:
        evaluate(self, loss)
        if self.epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(ClassifierTraining, "evaluate", interrupted)
        run(tmp_path / "cut", *words)
    mended = run(tmp_path / "cut", *words)
    assert outcome(mended) == outcome(whole)
    assert (mended / "queries.npz").read_bytes() == (whole / "queries.npz").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("checkpoints", [2, 4])  # the fourth is after the last epoch, before the result
def test_a_killed_training_ends_with_the_same_numbers(checkpoints: int, tmp_path: Path) -> None:
    words = ["mix=mixup", "loss=introspective_softmax"]
    whole = run(tmp_path / "whole", *words)
    process = start(killed_classification.train_until, checkpoints, [*TINY, *words, f"runs={tmp_path / 'killed'}"])
    process.join()
    assert process.exitcode == -signal.SIGKILL
    mended = run(tmp_path / "killed", *words)
    assert outcome(mended) == outcome(whole)
    assert (mended / "queries.npz").read_bytes() == (whole / "queries.npz").read_bytes()


def test_the_test_set_can_be_left_alone_until_the_end(tmp_path: Path) -> None:
    read = read_run(run(tmp_path, "protocol.test_scoring=once", "protocol.epochs=1"))
    assert read.test_scorings == 1 and list(read.selection) == ["last"]


def test_a_diverged_training_says_so(tmp_path: Path) -> None:
    words = ["protocol.optimizer._target_=torch.optim.SGD", "protocol.optimizer.lr=1e30", "protocol.lr_scheduler=null"]
    with pytest.raises(TrainingError, match="diverged"):
        run(tmp_path, *words)
    (folder,) = tmp_path.iterdir()
    assert "diverged" in (folder / "failed").read_text()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["loss.criterion._target_=torch.nn.Linear"], "loss=softmax-Linear cannot be built"),
        (["loss.criterion._target_=torch.nn.Identity"], "is no classifier"),
        (["protocol.batch_size=5000"], "protocol.batch_size must be at most"),
        (["mix.alpha=0"], "mix.alpha must be above 0"),
        (["protocol.eval_images._target_=benchmarks.training.transforms.PaddedCrop"], "must not be random"),
        (["mix=cutmx"], "nearest known one is 'cutmix'"),
        (["keep=weights"], "trained classifiers are not kept"),
    ],
)
def test_what_cannot_be_trained_is_refused(words: list[str], problem: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=problem):
        run(tmp_path, *words)
