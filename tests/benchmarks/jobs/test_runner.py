import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_training import TINY

from benchmarks.config.compose import compose
from benchmarks.errors import UserError
from benchmarks.jobs.runner import TrainingJob, refuse_other_images, train_all
from benchmarks.training.train import train

SETTINGS = [*TINY, "protocol.iterations_per_epoch=2", "protocol.epochs=1", "protocol.test_scoring=never"]


def task_with(runs: Path, criterion: dict[str, Any] | None = None, seed: int = 0) -> TrainingJob:
    config, options = compose([*SETTINGS, f"runs={runs}", f"seed={seed}"])
    if criterion is not None:
        config = replace(config, loss=replace(config.loss, criterion=criterion))
    return TrainingJob(config, options)


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_whatever_ends_a_training_is_said_in_its_folder_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    criterion = task_with(tmp_path).config.loss.criterion
    killed = task_with(tmp_path, {"_target_": "signal.raise_signal", "_args_": [9]})  # as Linux does out of memory
    blocked = task_with(tmp_path, seed=3)
    blocked.folder.path.mkdir(parents=True)
    blocked.folder.records.write_text("a file in place of a directory")
    nan = task_with(tmp_path, {**criterion, "base": float("nan")})
    well = [task_with(tmp_path, seed=seed) for seed in (0, 1)]
    damaged = task_with(tmp_path, seed=2)
    damaged.folder.prepare()
    damaged.folder.finish({"score": 0.5})
    damaged.folder.result.write_text('{"score": 0.9}')

    tasks = [killed, well[0], blocked, nan, damaged, well[1]]
    assert train_all(tasks, workers=1) == 4
    shown = capsys.readouterr()
    assert "2 trained, 0 done before, 4 failed" in shown.out
    assert [task.is_done() for task in tasks] == [False, True, False, False, False, True]
    for task, reason in (
        (killed, "the worker process died with exit code -9"),
        (blocked, "FileExistsError"),
        (nan, "the loss became nan in epoch 1"),
    ):
        assert task.folder.failed.read_text().startswith(reason)
        assert f"failed: {task}: " in shown.err and str(task.folder.log) in shown.err
        assert not task.folder.result.exists()
    assert "result.json: changed since the run ended" in shown.err


@pytest.mark.slow
def test_trainings_that_another_command_is_at_come_last_and_are_waited_for(tmp_path: Path) -> None:
    first, second = (task_with(tmp_path, seed=seed) for seed in (0, 1))
    order: list[bool] = []

    def other_command() -> None:
        with first.folder.locked(wait=False):
            held.set()
            while not second.is_done():
                time.sleep(0.05)
            order.append(first.is_done())
            while not first.folder.log.exists() or "waiting for it" not in first.folder.log.read_text():
                time.sleep(0.05)

    held = threading.Event()
    other = threading.Thread(target=other_command, daemon=True)
    other.start()
    held.wait()
    assert train_all([first, second], workers=1) == 0  # here by a worker that imports all it needs itself
    other.join()
    assert order == [False] and first.is_done()


def test_what_was_trained_on_other_images_is_refused(tmp_path: Path) -> None:
    task = task_with(tmp_path)
    refuse_other_images([task])
    train(task.config, task.options)
    refuse_other_images([task])
    result = json.loads(task.folder.result.read_text())
    result["data"]["hash"] = "0" * 64
    task.folder.finish(result)
    with pytest.raises(UserError, match="was trained on other images than data=glyphs has now"):
        refuse_other_images([task])


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_trainings_side_by_side_end_as_each_does_alone(tmp_path: Path) -> None:
    methods = ("method=none", "method=ee", "method=iaa")

    def scores(runs: Path, workers: int) -> list[Any]:
        made = [
            compose([*SETTINGS, "protocol.epochs=3", "seed=3", method, f"runs={runs}", f"per_gpu={workers}"])
            for method in methods
        ]
        tasks = [TrainingJob(config, options) for config, options in made]
        assert train_all(tasks, workers=workers) == 0
        return [json.loads(task.folder.result.read_text())["history"] for task in tasks]

    assert scores(tmp_path / "packed", workers=3) == scores(tmp_path / "alone", workers=1)
