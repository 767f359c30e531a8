"""Trains and evaluates in forked processes with the environment that torchrun gives them, beside one process.

It runs in a process of its own (forked.py), so that what is forked has no thread.
"""

import json
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.utils.tensorboard  # noqa: F401 (before the forks)
from tiny_training import TINY

from benchmarks.config.compose import compose
from benchmarks.training.accuracy import RetrievalAccuracy
from benchmarks.training.check import check
from benchmarks.training.distributed import ALONE, process_group
from benchmarks.training.evaluation import MemoryTester
from benchmarks.training.images import ModelInput, StoredImages
from benchmarks.training.neighbors import ExactNeighbors
from benchmarks.training.pixel_store import ImageStore
from benchmarks.training.train import read_data, train
from benchmarks.training.transforms import Identity

SETTINGS = [
    *TINY,
    "protocol.iterations_per_epoch=4",
    "protocol.epochs=4",
    "protocol.evaluate_every=1",
    "protocol.freeze_batchnorm=true",  # else its statistics are those of each process's part of the batch
    "protocol.embedder.bias=null",  # which would outweigh the features of an untrained trunk without BatchNorm
    "protocol.optimizer._target_=torch.optim.SGD",  # Adam makes much of a rounding error
    "protocol.test_scoring=once",
    "protocol.keep_embeddings=true",
]


def training(words: list[str], runs: Path) -> None:
    train(*compose([*SETTINGS, *words, f"runs={runs}"]))
    threads = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    assert not [name for name in threads if "gloo" in name], threads  # one that outlives the interpreter aborts it


def evaluation(images: int) -> None:
    """Embed and score random images in all processes and in this one alone, which must give the same numbers."""
    cpu, random = torch.device("cpu"), np.random.default_rng(0)
    pixels, labels = random.integers(256, size=(images, 6, 6, 1), dtype=np.uint8), random.integers(9, size=images)
    stored = StoredImages(ImageStore(pixels, cpu), np.arange(images), labels, Identity(), ModelInput(None, cpu), 0)
    torch.manual_seed(0)
    models = torch.nn.Flatten(), torch.nn.Linear(36, 8)
    with process_group(cpu) as (processes, _):
        found = []
        for group in (ALONE, processes):
            accuracy = RetrievalAccuracy(cpu, ExactNeighbors(32, group), (1, 2, 50))
            tester = MemoryTester(
                precision="float32", processes=group, batch_size=16, dataloader_num_workers=0, data_device=cpu,
                accuracy_calculator=accuracy,
            )  # fmt: skip
            for pairs in ([("test", ["test"])], [("test", ["gallery"])]):
                scores = tester.test({"test": stored, "gallery": stored}, 0, *models, splits_to_eval=pairs)
                found.append((dict(scores["test"]), accuracy.retrieved.neighbors.tolist()))
        assert processes.size > 1 and found[:2] == found[2:]


def start(work: Callable[[], None], size: int) -> list[int]:
    """Processes that do some work together; size 0 is one without torchrun."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(max(1, size)):
        process = os.fork()
        if process == 0:
            if size:
                where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
                who = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size}
                os.environ.update({name: str(value) for name, value in {**where, **who}.items()})
            try:
                work()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        started.append(process)
    return started


def finish(processes: list[int]) -> None:
    for process in processes:
        _, status = os.waitpid(process, 0)
        if status:
            raise RuntimeError(f"a process ended with status {status}")


def kill_when_saved_twice(processes: list[int], runs: Path) -> None:
    while len(list(runs.glob("*/checkpoint-*.pt"))) < 2:
        time.sleep(0.005)
    for process in processes:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def outcome(runs: Path) -> dict[str, Any]:
    (path,) = runs.glob("*/result.json")
    result = json.loads(path.read_text())
    return {
        "losses": [entry["loss"] for entry in result["history"][1:]],
        "accuracy": [entry["val"]["mean_average_precision_at_r"] for entry in result["history"]],
        "test": result["selection"]["validation"]["test"]["mean_average_precision_at_r"],
        "embeddings": np.load(path.with_name("embeddings.npy")).tolist(),
        "cost": result["cost"],
    }


def torchrun(words: list[str]) -> None:
    """``torchrun --nproc-per-node=2 -m benchmarks WORDS``."""
    from torch.distributed.run import main as launch

    launch(["--nproc-per-node=2", "-m", "benchmarks", *words])


def main(scratch: Path) -> None:
    """Evaluate in two and three processes; then print one JSON line a training: its name, what one gives, what two do.

    In the evaluation with three, one of them has no images.
    """
    finish(start(partial(evaluation, 150), 2))
    finish(start(partial(evaluation, 30), 3))
    for name, words, alone, killed in (
        ("baseline", ["loss=multi_similarity", "protocol.optimizer.lr=0.5"], 0, False),
        ("iaa_ps", ["loss=proxy_anchor", "method=iaa_ps", "protocol.optimizer.lr=0.001"], 1, True),
    ):
        config, _ = compose([*SETTINGS, *words])
        read_data(config)
        check(config)
        one, two = (partial(training, words, scratch / name / which) for which in ("one", "two"))
        finish(start(one, alone))
        if killed:
            kill_when_saved_twice(start(two, 2), scratch / name / "two")
        finish(start(two, 2))
        both = {which: outcome(scratch / name / which) for which in ("one", "two")}
        print(json.dumps({"name": name, **both}), flush=True)
