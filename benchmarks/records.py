"""The folder of one training: named by what decides its numbers, finished only when marked so."""

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from .errors import Refusal

PACKAGES = (
    "faiss-cpu",
    "hydra-core",
    "numpy",
    "pml-aug",
    "pytorch-metric-learning",
    "record-keeper",
    "tensorboard",
    "torch",
    "torchvision",
)


def run_name(identity: Mapping[str, Any]) -> str:
    """The first 12 hexadecimal digits of the sha256 of an identity's canonical JSON."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


class RunFolder:
    """Paths and files of one training.

    Args:
        runs: folder of run folders.
        identity: the resolved configuration, see :meth:`benchmarks.config.RunConfig.identity`.
    """

    def __init__(self, runs: Path | str, identity: Mapping[str, Any]) -> None:
        self.identity = identity
        self.name = run_name(identity)
        self.path = Path(runs) / self.name
        self.records = self.path / "records"
        self.tensorboard = self.path / "tensorboard"
        self.checkpoint = self.path / "checkpoint.pt"
        self.log = self.path / "log.txt"
        self.result = self.path / "result.json"
        self.done = self.path / "done"

    def is_done(self) -> bool:
        """Whether the training has ended and its result is the one it wrote.

        Raises:
            Refusal: if the result was changed or lost after the run was marked done.
        """
        if not self.done.exists():
            return False
        if not self.result.exists() or self.done.read_text().strip() != _sha256(self.result.read_bytes()):
            raise Refusal(f"{self.path} is damaged: result.json is not the one that was marked done; delete the folder")
        return True

    def prepare(self) -> None:
        """Make the folder and write the configuration into it."""
        self.records.mkdir(parents=True, exist_ok=True)
        write_whole(self.path / "config.yaml", yaml.safe_dump(dict(self.identity), sort_keys=False).encode())

    def write_environment(self, gpu: str | None, data_hash: str) -> None:
        write_whole(self.path / "environment.json", _json(environment(gpu, data_hash)))

    def write_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        unfinished = self.path / f"{name}.unfinished.npz"
        np.savez_compressed(unfinished, allow_pickle=False, **arrays)
        os.replace(unfinished, self.path / f"{name}.npz")

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the result, then the mark, then drop the checkpoint."""
        content = _json(result)
        write_whole(self.result, content)
        write_whole(self.done, _sha256(content).encode())
        self.checkpoint.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is seen either as it was or complete."""
    unfinished = path.with_name(path.name + ".unfinished")
    with open(unfinished, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def environment(gpu: str | None, data_hash: str) -> dict[str, Any]:
    """Where and with what a training runs."""
    commit, dirty = source_state()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "gpu": gpu,
        "packages": {name: version for name in PACKAGES if (version := _version(name)) is not None},
        "commit": commit,
        "dirty": dirty,
        "data_hash": data_hash,
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def cpu_name() -> str:
    """The processor's model where the system tells it, else its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@lru_cache
def source_state() -> tuple[str | None, bool | None]:
    """The commit this code was checked out at and whether files differ from it; None outside a checkout."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None, None
    answers = []
    for command in (["rev-parse", "HEAD"], ["status", "--porcelain"]):
        try:
            done = subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True)
        except FileNotFoundError:  # no git on this machine
            return None, None
        if done.returncode:
            return None, None
        answers.append(done.stdout.strip())
    return answers[0], bool(answers[1])


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
