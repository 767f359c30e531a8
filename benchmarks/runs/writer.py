"""The directory of one training: named by the hash of its configuration, finished only when it has a done mark."""

import importlib.metadata
import io
import json
import os
import platform
import secrets
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from filelock import FileLock, Timeout

from ..errors import RunLockedError
from .done import check_sealed, seal
from .schema import CONFIG, DONE, ENVIRONMENT, MODEL, RESULT, WEIGHTS, run_name

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


class RunDir:
    """Paths and files of one training.

    Args:
        runs: directory of run directories.
        identity: the resolved configuration, see :meth:`benchmarks.config.compose.RunConfig.identity`.
    """

    def __init__(self, runs: Path | str, identity: Mapping[str, Any]) -> None:
        self.identity = identity
        self.name = run_name(identity)
        self.path = Path(runs) / self.name
        self.records = self.path / "records"
        self.tensorboard = self.path / "tensorboard"
        self.log = self.path / "log.txt"
        self.lock = self.path / "lock"
        self.failed = self.path / "failed"
        self.test_scorings = self.path / "test_scorings.jsonl"
        self.result = self.path / RESULT
        self.done = self.path / DONE

    def checkpoint(self, epoch: int, sha256: str) -> Path:
        """The file of a checkpoint after ``epoch`` whose content has this hash."""
        return self.path / f"checkpoint-{epoch:06d}-{sha256}.pt"

    def checkpoints(self) -> list[Path]:
        """The files of the checkpoints, the newest first."""
        return sorted(self.path.glob("checkpoint-*.pt"), reverse=True)

    def is_done(self) -> bool:
        """Whether the training has ended and left its files as they are.

        Raises:
            UserError: a file has been changed or lost since the run ended.
        """
        if not self.done.exists():
            return False
        check_sealed(self.path)
        return True

    def prepare(self) -> None:
        """Make the directory, remove the half-written files of a killed attempt, and write the configuration."""
        self.records.mkdir(parents=True, exist_ok=True)
        self._drop_unfinished()
        content = yaml.dump(dict(self.identity), Dumper=_WithoutAliases, sort_keys=False)
        write_whole(self.path / CONFIG, content.encode())

    def write_environment(self, gpu: str | None, data_hash: str) -> None:
        write_whole(self.path / ENVIRONMENT, _json(environment(gpu, data_hash)))

    def write_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write ``NAME.npz``, compressed."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        write_whole(self.path / f"{name}.npz", buffer.getbuffer())

    def write_array(self, name: str, array: np.ndarray) -> None:
        """Write ``NAME.npy``."""
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        write_whole(self.path / f"{name}.npy", buffer.getbuffer())

    def write_model(self, weights: bytes, description: Mapping[str, Any]) -> None:
        """Write the weights of the trained model, then what says how to build it."""
        write_whole(self.path / WEIGHTS, weights)
        write_whole(self.path / MODEL, _json(description))

    def log_test_scoring(self, epoch: int) -> None:
        """Append to the log of test scorings; one that was interrupted and repeated is there twice."""
        with open(self.test_scorings, "a") as log:
            log.write(json.dumps({"epoch": epoch, "at": _now()}) + "\n")

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the result, then the done mark over all files, then remove the checkpoints."""
        write_whole(self.result, _json(result))
        write_whole(self.done, seal(self.path))
        self.tidy()

    def tidy(self) -> None:
        """Remove what only an unfinished training needs."""
        for file in self.checkpoints():
            file.unlink(missing_ok=True)
        self._drop_unfinished()

    def _drop_unfinished(self) -> None:
        for file in self.path.glob(f"*{UNFINISHED}"):
            file.unlink(missing_ok=True)

    def fail(self, reason: str, details: str = "") -> None:
        """Write the reason of the failure to ``failed``; the next attempt removes the file."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.failed, f"{reason}\n{details}".encode())

    @contextmanager
    def locked(self, wait: bool, tell: Callable[[str], None] = print) -> Iterator[None]:
        """Hold an exclusive lock on the run directory; the operating system releases it if the process dies.

        Args:
            wait: whether to wait for another process that holds the lock, after reporting which one does.
            tell: called with that report.

        Raises:
            RunLockedError: another process holds the lock, and ``wait`` is false.
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
    """Unfinished run directories in ``runs`` that no process has locked and whose names are not ``known``."""
    begun = (path.parent for path in sorted(runs.glob(f"*/{CONFIG}")))
    unfinished = (path for path in begun if path.name not in known and not (path / DONE).exists())
    return [path for path in unfinished if not _is_locked(path / "lock")]


def _is_locked(lock: Path) -> bool:
    try:
        with FileLock(lock).acquire(blocking=False):
            return False
    except Timeout:
        return True


def write_whole(path: Path, *parts: bytes | memoryview, before: Callable[[], None] | None = None) -> None:
    """Write a file atomically: readers see the old content or the whole new one; a failed write leaves nothing behind.

    Several processes may write the same file, on several machines too: the last one to finish wins.

    Args:
        parts: of the content, one after the other.
        before: called when everything is written, right before the file gets its name.
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
    """Versions, hardware and source state of a training."""
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
    """The processor's model if the system reports it, else its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@lru_cache
def source_state() -> tuple[str | None, bool | None]:
    """The checked-out commit of this code, and whether files differ from it; None outside a checkout."""
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
    return datetime.now(UTC).isoformat(timespec="seconds")


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


class _WithoutAliases(yaml.SafeDumper):
    """Writes a value that occurs twice twice, as readers refuse aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
