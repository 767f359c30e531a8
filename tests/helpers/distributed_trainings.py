"""Trains in several forked processes with the environment that torchrun gives them, and compares with one process.

A script of its own, so that what is forked has no thread.
"""

import json
import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch.utils.tensorboard  # noqa: F401 (before the forks)
from tiny_training import TINY

from benchmarks.config.compose import compose
from benchmarks.training.check import check
from benchmarks.training.train import read_data, train

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


def start(words: list[str], runs: Path, size: int) -> list[int]:
    """The processes of one training; size 0 is one without torchrun."""
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
                train(*compose([*SETTINGS, *words, f"runs={runs}"]))
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


def main(scratch: Path) -> None:
    """Print one JSON line a comparison: the training's name, what one process gives, what two give."""
    for name, words, alone, killed in (
        ("baseline", ["loss=multi_similarity", "protocol.optimizer.lr=0.5"], 0, False),
        ("iaa_ps", ["loss=proxy_anchor", "method=iaa_ps", "protocol.optimizer.lr=0.001"], 1, True),
    ):
        config, _ = compose([*SETTINGS, *words])
        read_data(config)
        check(config)
        finish(start(words, scratch / name / "one", alone))
        if killed:
            kill_when_saved_twice(start(words, scratch / name / "two", 2), scratch / name / "two")
        finish(start(words, scratch / name / "two", 2))
        both = {which: outcome(scratch / name / which) for which in ("one", "two")}
        print(json.dumps({"name": name, **both}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
