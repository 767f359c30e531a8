"""A real Ray cluster of two nodes on this machine; deselect with ``-m 'not ray'``."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_training import TINY

from benchmarks.config.compose import compose
from benchmarks.jobs.executors import Resources, run_all
from benchmarks.jobs.runner import TrainingJob, train_all
from benchmarks.training.train import train

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.ray

NODE = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
SETTINGS = [
    *TINY,
    "loss=proxy_anchor",
    "method=ps",
    "protocol.iterations_per_epoch=2",
    "protocol.epochs=40",
    "protocol.test_scoring=once",
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        started = Cluster(initialize_head=True, head_node_args=NODE)
        started.add_node(num_cpus=1, object_store_memory=NODE["object_store_memory"])
        ray.init(address=started.address, log_to_driver=False)
        yield started
        ray.shutdown()
        started.shutdown()


def tasks_in(runs: Path) -> list[TrainingJob]:
    return [TrainingJob(*compose([*SETTINGS, f"runs={runs}", f"seed={seed}"])) for seed in range(3)]


def test_a_task_that_raises_is_told_and_the_others_go_on(cluster: Any) -> None:
    outcomes = dict(run_all("ray", eval, ["1 + 1", "1 / 0", "2 + 2"], resources=Resources(device="cpu")))
    assert outcomes[0] is None and outcomes[2] is None
    assert outcomes[1] is not None and outcomes[1].strip().endswith("ZeroDivisionError: division by zero")


def kill_all_of(node: Any) -> None:
    """Kill the manager of a node, and with it the workers that it has started."""
    (manager,) = (info.process.pid for info in node.all_processes["raylet"])
    tasks = Path(f"/proc/{manager}/task").iterdir()
    workers = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    for process in (manager, *workers):
        os.kill(process, signal.SIGKILL)


@pytest.mark.slow
def test_trainings_outlive_a_node_and_give_the_numbers_they_give_here(cluster: Any, tmp_path: Path) -> None:
    tasks, node = tasks_in(tmp_path / "ray"), cluster.worker_nodes.copy().pop()

    def pull_the_plug() -> None:
        while sum(bool(task.folder.checkpoints()) for task in tasks) < 2:  # one on each node
            time.sleep(0.005)
        kill_all_of(node)  # at once, while removing the node takes as long as a training
        cluster.remove_node(node, allow_graceful=False)

    plug = threading.Thread(target=pull_the_plug, daemon=True)
    plug.start()
    assert train_all(tasks, executor="ray") == 0
    plug.join()
    results = [json.loads(task.folder.result.read_text()) for task in tasks]
    assert sorted(result["cost"]["sessions"] for result in results) == [1, 1, 2]
    for result, task in zip(results, tasks_in(tmp_path / "here"), strict=True):
        here = json.loads((train(task.config, task.options) / "result.json").read_text())
        assert {**result, "cost": None} == {**here, "cost": None}
