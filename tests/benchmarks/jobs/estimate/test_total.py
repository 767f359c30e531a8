import multiprocessing
import operator
from pathlib import Path

import pytest
import torch
from tiny_training import TINY

from benchmarks.config.compose import compose
from benchmarks.errors import UserError
from benchmarks.jobs.estimate import Estimate, estimate, probe, total
from benchmarks.jobs.estimate.finished import costs_of_finished
from benchmarks.jobs.runner import TrainingJob
from benchmarks.training.train import train

SETTINGS = [*TINY, "protocol.iterations_per_epoch=4", "protocol.epochs=4"]


def task(runs: Path, *overrides: str) -> TrainingJob:
    return TrainingJob(*compose([*SETTINGS, f"runs={runs}", *overrides]))


def test_a_probe_measures_every_figure_and_looks_at_no_test_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    monkeypatch.setattr("benchmarks.runs.writer.RunDir.log_test_scoring", lambda folder, epoch: looked.append(epoch))
    cost = probe(*task(tmp_path, "method=iaa"))
    assert min(cost) > 0 and looked == []
    assert cost.epoch > 0.1 * cost.step  # the pass over all images after an epoch
    assert not list(tmp_path.iterdir())


def test_a_probe_without_validation_scores_training_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    monkeypatch.setattr("benchmarks.runs.writer.RunDir.log_test_scoring", lambda folder, epoch: looked.append(epoch))
    cost = probe(*task(tmp_path, "protocol.num_folds=1"))
    assert min(cost.step, cost.score) > 0 and looked == []


def test_finished_trainings_tell_the_cost_of_longer_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(*task(tmp_path))
    monkeypatch.setattr(total, "probe", lambda *_: pytest.fail("a probe, though a training of the kind has ended"))
    told = estimate([task(tmp_path), *(task(tmp_path, f"seed={seed}", "protocol.epochs=8") for seed in (0, 1))], 2)
    assert (told.trainings, told.done, told.workers, told.known) == (3, 1, 2, "finished trainings")
    assert told.images == 2 * 8 * 4 * 8
    (cost,) = costs_of_finished(tmp_path, "cpu").values()
    assert told.disk == 2 * cost.files and told.seconds > 2 * 32 * cost.step
    assert costs_of_finished(tmp_path, "cuda") == {}


def test_what_cannot_be_measured_counts_as_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = task(tmp_path, "loss=triplet")
    broken.config.loss.criterion["_target_"] = "builtins.id"
    told = estimate([task(tmp_path), broken], workers=1)
    assert told.known == "a dozen steps of a kind, the mean of these for 1 of 2 kinds"
    assert "a few steps of data=glyphs loss=triplet method=none fold=0 seed=0 failed" in capsys.readouterr().err
    assert told.images == 2 * 4 * 4 * 8 and told.seconds > 0


def test_on_a_gpu_steps_are_tried_in_a_process_that_ends_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(total, "choose_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(total, "probe", operator.concat)  # stands for it, and can be sent to a process
    with total._probing(task(tmp_path).options) as tried:
        assert len(multiprocessing.active_children()) == 0 and tried("a", "b") == "ab"
        assert len(multiprocessing.active_children()) == 1
    assert not multiprocessing.active_children()


def test_everything_done_leaves_nothing_to_tell(tmp_path: Path) -> None:
    train(*task(tmp_path, "protocol.epochs=1"))
    assert str(estimate([task(tmp_path, "protocol.epochs=1")])) == "1 trainings, 1 of them done"


def test_a_disk_without_room_is_refused_with_what_is_missing() -> None:
    told = Estimate(10, 0, 1000, 7200.0, 2, disk=5 * 10**9, free=2 * 10**9, known="finished trainings")
    assert "about 1 hours on 2 workers (by finished trainings), 5 of 2 GB of free disk" in str(told)
    with pytest.raises(UserError, match="runs=somewhere would take about 5 GB, but 2 GB are free there"):
        told.refuse_if_the_disk_would_fill("somewhere")
    told._replace(free=6 * 10**9).refuse_if_the_disk_would_fill("somewhere")
