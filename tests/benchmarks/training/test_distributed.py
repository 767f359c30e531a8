"""One training over two gloo processes is the training of one process, but for rounding."""

import json
from contextlib import nullcontext
from pathlib import Path

import distributed_trainings
import numpy as np
import pytest
from forked import lines_of, start
from tiny_training import TINY

from benchmarks.config.compose import compose
from benchmarks.errors import UserError
from benchmarks.training import train as run
from benchmarks.training.distributed import ProcessGroup


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    return {line["name"]: line for line in lines_of(distributed_trainings.main, tmp_path_factory.mktemp("runs"))}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["baseline", "iaa_ps"])
def test_losses_embeddings_and_accuracy_are_those_of_one_process(compared: dict[str, dict], name: str) -> None:
    one, two = compared[name]["one"], compared[name]["two"]
    # float32, 16 steps: sums are taken in another order
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-5)
    np.testing.assert_allclose(two["embeddings"], one["embeddings"], atol=1e-5)
    np.testing.assert_allclose(two["accuracy"], one["accuracy"], atol=5e-3)  # two near neighbours may change places
    assert two["test"] == pytest.approx(one["test"], abs=5e-3)
    assert max(one["accuracy"]) > one["accuracy"][0] + 0.02  # what was chosen has learned
    assert two["cost"]["processes"] == 2


@pytest.mark.slow
def test_scores_of_the_same_models_are_those_of_one_process_to_the_last_digit(compared: dict[str, dict]) -> None:
    assert compared  # the driver compares them, in two processes and in three, before it trains


@pytest.mark.slow
def test_a_killed_one_goes_on_from_its_checkpoint(compared: dict[str, dict]) -> None:
    assert compared["iaa_ps"]["two"]["cost"]["sessions"] == 2


@pytest.mark.slow
def test_the_command_runs_under_torchrun(tmp_path: Path) -> None:
    words = [*TINY, "protocol.iterations_per_epoch=2", "protocol.epochs=1", f"runs={tmp_path}"]
    output = tmp_path / "output"
    process = start(distributed_trainings.torchrun, ["run", *words], output=output)
    process.join()
    printed = output.read_text()
    assert process.exitcode == 0, printed
    (path,) = tmp_path.glob("*/result.json")
    assert json.loads(path.read_text())["cost"]["processes"] == 2
    assert [line for line in printed.splitlines() if "done" in line] == [f"done: {path.parent}"]


def test_a_batch_that_cannot_be_shared_out_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, options = compose(["data.num_classes=120", "data.image_size=8", "device=cpu", f"runs={tmp_path}"])
    processes = ProcessGroup(rank=0, size=3)
    monkeypatch.setattr(processes, "broadcast_object", lambda value: value)
    monkeypatch.setattr(run, "process_group", lambda device: nullcontext((processes, device)))
    with pytest.raises(UserError, match="protocol.batch_size must be a multiple of the 3 processes"):
        run.train(config, options)
