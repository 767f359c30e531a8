"""The folder of one training: named by what decides its numbers, finished only when marked so."""

import hashlib
import importlib.metadata
import io
import json
import os
import platform
import secrets
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from filelock import FileLock, Timeout

from benchmarks.errors import RunLockedError, UserError

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
UNFINISHED = ".unfinished"  # ends the name of a file that is being written


def run_name(identity: Mapping[str, Any]) -> str:
    """The first 12 hexadecimal digits of the sha256 of an identity's canonical JSON."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


class RunDir:
    """Paths and files of one training.

    Args:
        runs: folder of run folders.
        identity: the resolved configuration, see :meth:`benchmarks.config.compose.RunConfig.identity`.
    """

    def __init__(self, runs: Path | str, identity: Mapping[str, Any]) -> None:
        self.identity = identity
        self.name = run_name(identity)
        self.path = Path(runs) / self.name
        self.records = self.path / "records"
        self.tensorboard = self.path / "tensorboard"
        self.checkpoint = self.path / "checkpoint.pt"
        self.previous_checkpoint = self.path / "checkpoint.previous.pt"
        self.log = self.path / "log.txt"
        self.lock = self.path / "lock"
        self.failed = self.path / "failed"
        self.test_scorings = self.path / "test_scorings.jsonl"
        self.result = self.path / "result.json"
        self.done = self.path / "done"

    def is_done(self) -> bool:
        """Whether the training has ended and its result is the one it wrote.

        Raises:
            UserError: if the result was changed or lost after the run was marked done.
        """
        if not self.done.exists():
            return False
        if not self.result.exists() or self.done.read_text().strip() != _sha256(self.result.read_bytes()):
            raise UserError(
                f"{self.path} is damaged: result.json is not the one that was marked done; delete the folder"
            )
        return True

    def prepare(self) -> None:
        """Make the folder, drop what a killed attempt left half written, and write the configuration."""
        self.records.mkdir(parents=True, exist_ok=True)
        self._drop_unfinished()
        write_whole(self.path / "config.yaml", yaml.safe_dump(dict(self.identity), sort_keys=False).encode())

    def write_environment(self, gpu: str | None, data_hash: str) -> None:
        write_whole(self.path / "environment.json", _json(environment(gpu, data_hash)))

    def write_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """As a compressed .npz file."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        write_whole(self.path / f"{name}.npz", buffer.getbuffer())

    def write_array(self, name: str, array: np.ndarray) -> None:
        """As an .npy file."""
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        write_whole(self.path / f"{name}.npy", buffer.getbuffer())

    def log_test_scoring(self, epoch: int) -> None:
        """Add to the list of times that the test set was looked at; interrupted ones that are repeated stand twice."""
        with open(self.test_scorings, "a") as log:
            log.write(json.dumps({"epoch": epoch, "at": _now()}) + "\n")

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the result, then the mark, then drop the checkpoints."""
        content = _json(result)
        write_whole(self.result, content)
        write_whole(self.done, _sha256(content).encode())
        self.tidy()

    def tidy(self) -> None:
        """Drop what only an unfinished training needs."""
        for file in (self.checkpoint, self.previous_checkpoint):
            file.unlink(missing_ok=True)
        self._drop_unfinished()

    def _drop_unfinished(self) -> None:
        for file in self.path.glob(f"*{UNFINISHED}"):
            file.unlink(missing_ok=True)

    def fail(self, reason: str, details: str = "") -> None:
        """Say in the folder why the last attempt ended; the next one takes the sentence away."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.failed, f"{reason}\n{details}".encode())

    @contextmanager
    def held(self, wait: bool, tell: Callable[[str], None] = print) -> Iterator[None]:
        """Inside, the run is this process's alone; a process that dies lets go of it.

        Args:
            wait: until whoever has it is done, after telling who that is.
            tell: called with that sentence.

        Raises:
            RunLockedError: another process has it, and ``wait`` is false.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.lock)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            holder = f"{self.path} is being trained by {self.lock.read_text().strip() or 'another process'}"
            if not wait:
                raise RunLockedError(holder) from None
            tell(f"{holder}; waiting for it")
            lock.acquire(poll_interval=0.5)
        try:
            self.lock.write_text(f"process {os.getpid()} on {platform.node()} since {_now()}\n")
            yield
        finally:
            lock.release()


def abandoned(runs: Path, known: Collection[str]) -> list[Path]:
    """Run folders in ``runs`` begun and not ended, that nobody is at and whose names are not ``known``."""
    begun = (path.parent for path in sorted(runs.glob("*/config.yaml")))
    unfinished = (folder for folder in begun if folder.name not in known and not (folder / "done").exists())
    return [folder for folder in unfinished if not _is_held(folder / "lock")]


def _is_held(lock: Path) -> bool:
    try:
        with FileLock(lock).acquire(blocking=False):
            return False
    except Timeout:
        return True


def write_whole(path: Path, *parts: bytes | memoryview, before: Callable[[], None] | None = None) -> None:
    """Write a file so that it is seen either as it was or complete; what could not be completed leaves no space taken.

    Several may write the same file at once, on several machines too: what the last one wrote stays.

    Args:
        parts: of the content, one after the other.
        before: called when all is written, right before the file takes its name.
    """
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(6)}{UNFINISHED}")
    try:
        with open(unfinished, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        if before is not None:
            before()
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


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
        "started": _now(),
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
    root = Path(__file__).resolve().parents[2]
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


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
