"""What a list of trainings takes, from the pace of finished ones."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from tiny_training import TINY

from benchmarks.config.compose import compose
from benchmarks.data.split import Split
from benchmarks.errors import UserError
from benchmarks.jobs.estimate import Estimate, estimate, kind_of, paces_of_finished
from benchmarks.jobs.job import Amount
from benchmarks.jobs.runner import TrainingJob, amount_of
from benchmarks.training.train import train

SETTINGS = [*TINY, "protocol.iterations_per_epoch=4", "protocol.epochs=4"]
SPLIT = Split(train=np.arange(100), val=np.arange(30), test=np.arange(50))
IDENTITY = compose(["protocol.test_scoring=never"])[0].identity()


def job(runs: Path, *overrides: str) -> TrainingJob:
    return TrainingJob(*compose([*SETTINGS, f"runs={runs}", *overrides]))


def amount(*overrides: str, split: Split = SPLIT) -> Amount:
    words = [
        "protocol.batch_size=8",
        "protocol.iterations_per_epoch=5",
        "protocol.epochs=7",
        "protocol.evaluate_every=3",
    ]
    return amount_of(compose([*words, *overrides])[0], split)


def test_an_amount_counts_what_a_training_does() -> None:
    # evaluated at epochs 0, 3, 6 and 7
    assert amount() == Amount(steps=35, images=280, scored=4 * 80)
    assert amount("protocol.test_scoring=once").scored == 4 * 30 + 50
    assert amount("protocol.test_scoring=never").scored == 4 * 30
    assert amount("protocol.iterations_per_epoch=null").steps == 7 * 12  # one pass over 100 images
    assert amount(split=SPLIT._replace(gallery=np.arange(20))).scored == 4 * 100


def test_a_kind_is_what_decides_the_pace_and_not_the_length() -> None:
    def kind(*overrides: str) -> str:
        return kind_of(compose(list(overrides))[0].identity())

    same = ("seed=3", "fold=1", "protocol.epochs=99", "loss.criterion.alpha=1", "protocol.test_scoring=once")
    assert kind(*same) == kind()
    for other in (
        "embedder=mlp",
        "method=ee",
        "loss=triplet",
        "protocol.batch_size=16",
        "data.image_size=16",
        "trunk=medium_cnn",
    ):
        assert kind(other) != kind()


def test_without_a_finished_training_the_amount_is_known_and_the_time_is_not(tmp_path: Path) -> None:
    found = estimate([job(tmp_path, f"seed={seed}") for seed in (0, 1)], workers=1)
    assert (found.trainings, found.done, found.unknown, found.steps, found.images) == (2, 0, 2, 32, 256)
    assert "32 steps on 256 images" in str(found) and "time unknown for 2 trainings" in str(found)
    assert "hours" not in str(found)
    assert not list(tmp_path.iterdir())  # nothing was tried


def test_finished_trainings_give_the_pace_of_others_of_their_kind(tmp_path: Path) -> None:
    first = job(tmp_path)
    train(first.config, first.options)
    longer = [job(tmp_path, f"seed={seed}", "protocol.epochs=8") for seed in (0, 1)]
    found = estimate([job(tmp_path), *longer, job(tmp_path, "method=ee")], workers=2)
    assert (found.trainings, found.done, found.unknown, found.workers) == (4, 1, 1, 2)
    assert found.images == 2 * 8 * 4 * 8 + 4 * 4 * 8
    (pace,) = paces_of_finished(tmp_path, "cpu").values()
    assert found.disk == 2 * pace.files and found.seconds > 2 * 32 * pace.step
    assert "for 2 trainings" in str(found) and "time unknown for 1 trainings" in str(found)
    assert paces_of_finished(tmp_path, "cuda") == {}
    assert str(estimate([job(tmp_path)])) == "1 trainings, 1 of them done"


def test_a_disk_without_room_is_refused_with_what_is_missing() -> None:
    found = Estimate(10, 0, 100, 1000, 7200.0, 0, workers=2, disk=5 * 10**9, free=2 * 10**9)
    assert "about 1 hours on 2 workers and 5 of 2 GB of free disk" in str(found)
    with pytest.raises(UserError, match="runs=somewhere would take about 5 GB, but 2 GB are free there"):
        found.refuse_if_the_disk_would_fill("somewhere")
    found._replace(free=6 * 10**9).refuse_if_the_disk_would_fill("somewhere")


def finished(folder: Path, seconds_per_step: float) -> None:
    """The files of a finished training that its pace is read from: 3 evaluations of 10 images in 6 seconds."""
    folder.mkdir()
    cost = {"device": "cpu", "seconds_per_step": seconds_per_step, "train_seconds": 4.0, "total_seconds": 10.0}
    result = {"data": {"images": {"val": 10, "test": 20}}, "cost": cost, "history": [{}, {}, {}]}
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "config.yaml").write_text(yaml.safe_dump(IDENTITY))
    (folder / "done").write_text("the sha256")


def test_the_pace_of_a_kind_is_the_mean_of_its_trainings(tmp_path: Path) -> None:
    finished(tmp_path / "a", seconds_per_step=1.0)
    finished(tmp_path / "b", seconds_per_step=3.0)
    ((kind, pace),) = paces_of_finished(tmp_path, "cpu").items()
    assert kind == kind_of(IDENTITY)
    assert (pace.step, pace.score) == (2.0, 6 / 30)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "result.json").unlink(),
        lambda folder: (folder / "result.json").write_text('{"cost": '),
        lambda folder: (folder / "result.json").write_bytes(b"\xff\x00"),
        lambda folder: (folder / "result.json").write_text("[]"),
        lambda folder: (folder / "result.json").write_text('{"cost": {"device": 3}}'),
        lambda folder: (folder / "config.yaml").unlink(),
        lambda folder: (folder / "config.yaml").write_text("{"),
        lambda folder: (folder / "config.yaml").write_text("a: &a [1]\nb: &b [*a, *a]\nc: [*b, *b]\n"),
        lambda folder: (folder / "config.yaml").write_bytes(b"#" * 2**18 + (folder / "config.yaml").read_bytes()),
    ],
)
def test_damaged_run_directories_are_left_out(damage: Callable[[Path], object], tmp_path: Path) -> None:
    finished(tmp_path / "a", seconds_per_step=1.0)
    finished(tmp_path / "b", seconds_per_step=3.0)
    damage(tmp_path / "b")
    (pace,) = paces_of_finished(tmp_path, "cpu").values()
    assert pace.step == 1.0
