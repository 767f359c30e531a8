"""What trainings took is read from their folders."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from benchmarks.config.compose import compose
from benchmarks.jobs.estimate.cost import kind_of
from benchmarks.jobs.estimate.finished import costs_of_finished

IDENTITY = compose(["protocol.test_scoring=never"])[0].identity()


def finished(folder: Path, seconds_per_step: float) -> None:
    """What of a finished training its cost is read from: 3 evaluations of 10 images in 6 seconds."""
    folder.mkdir()
    cost = {"device": "cpu", "seconds_per_step": seconds_per_step, "train_seconds": 4.0, "total_seconds": 10.0}
    result = {"data": {"images": {"val": 10, "test": 20}}, "cost": cost, "history": [{}, {}, {}]}
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "config.yaml").write_text(yaml.safe_dump(IDENTITY))
    (folder / "done").write_text("the sha256")


def test_the_costs_of_a_kind_are_the_mean_of_its_trainings(tmp_path: Path) -> None:
    finished(tmp_path / "a", seconds_per_step=1.0)
    finished(tmp_path / "b", seconds_per_step=3.0)
    ((kind, cost),) = costs_of_finished(tmp_path, "cpu").items()
    assert kind == kind_of(IDENTITY)
    assert (cost.step, cost.score) == (2.0, 6 / 30)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "result.json").unlink(),
        lambda folder: (folder / "result.json").write_text('{"cost": '),
        lambda folder: (folder / "result.json").write_bytes(b"\xff\x00"),
        lambda folder: (folder / "result.json").write_text("[]"),
        lambda folder: (folder / "result.json").write_text("{}"),
        lambda folder: (folder / "config.yaml").unlink(),
        lambda folder: (folder / "config.yaml").write_text("{"),
    ],
)
def test_a_damaged_training_tells_nothing_and_is_in_nobodys_way(
    damage: Callable[[Path], object], tmp_path: Path
) -> None:
    finished(tmp_path / "a", seconds_per_step=1.0)
    finished(tmp_path / "b", seconds_per_step=3.0)
    damage(tmp_path / "b")
    (cost,) = costs_of_finished(tmp_path, "cpu").values()
    assert cost.step == 1.0
