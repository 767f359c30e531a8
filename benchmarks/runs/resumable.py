"""An array on disk that is computed block by block, and goes on after an interruption where it was saved last."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.lib.format import open_memmap

from ..errors import RunLockedError
from .writer import UNFINISHED, write_whole

PROGRESS = "progress.json"
SAVE_AFTER = 2.0  # seconds


@contextmanager
def held(unfinished: Path) -> Iterator[None]:
    """The directory of unfinished work is made, and is this process's alone; a lock frees it when the process ends.

    Raises:
        RunLockedError: another process works in it.
    """
    unfinished.mkdir(parents=True, exist_ok=True)
    lock = FileLock(unfinished.with_name(f"{unfinished.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise RunLockedError(f"another process computes {unfinished}: wait for it, or choose another --out") from None
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


class ResumableArray:
    """Rows of an array, written from the first to the last.

    Args:
        folder: of the unfinished work, which this process holds.
        name: of the file in it, ``*.npy``.
        identity: what the rows depend on, as JSON can hold it; rows of another identity are thrown away.
        shape: of the whole array.
        dtype: of the array.

    Attributes:
        array: the mapped file.
        rows: how many are written.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        identity: Mapping[str, Any],
        shape: tuple[int, ...],
        dtype: type[np.floating],
    ) -> None:
        self.folder = folder
        self.identity = {**identity, "shape": list(shape), "dtype": np.dtype(dtype).name}
        for file in folder.glob(f"*{UNFINISHED}"):  # what a killed process was writing
            file.unlink()
        self.array, self.rows = self._opened(folder / name, shape, dtype)
        self.saved_at = time.perf_counter()

    def add(self, block: np.ndarray) -> None:
        """Write the next rows, and save every two seconds."""
        self.array[self.rows : self.rows + len(block)] = block
        self.rows += len(block)
        if time.perf_counter() - self.saved_at >= SAVE_AFTER:
            self.save()

    def save(self) -> None:
        """Bring the rows to the disk, and note how many there are."""
        self.array.flush()
        write_whole(self.folder / PROGRESS, json.dumps({"identity": self.identity, "rows": self.rows}).encode())
        self.saved_at = time.perf_counter()

    def _opened(self, file: Path, shape: tuple[int, ...], dtype: type[np.floating]) -> tuple[np.memmap, int]:
        """The array to write into, and how many rows an earlier process has written."""
        try:
            before = json.loads((self.folder / PROGRESS).read_text())
        except (OSError, ValueError):  # nothing was saved, or not whole
            before = {}
        done = before.get("rows") if before.get("identity") == json.loads(json.dumps(self.identity)) else None
        if isinstance(done, int) and 0 <= done <= shape[0] and file.is_file():
            try:
                return open_memmap(file, mode="r+"), done
            except ValueError:  # another program's file: start anew
                pass
        (self.folder / PROGRESS).unlink(missing_ok=True)
        return open_memmap(file, mode="w+", dtype=dtype, shape=shape), 0
