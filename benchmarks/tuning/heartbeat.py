"""A mark in the file system that a process works at something, which ends with the process however it ends."""

import os
import socket
import threading
import time
from pathlib import Path

from filelock import FileLock, Timeout

TOUCH_EVERY = 60.0  # seconds
STALE_AFTER = 600.0  # seconds without a touch, for a process of another machine


class Working:
    """From now until :meth:`close`, a lock on the file ``path``, which is touched every minute.

    The system drops the lock when the process dies, so others on this machine know at once. Whether a lock is seen
    from other machines depends on the file system, so for them the touches decide as well.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.lock = FileLock(path)
        self.lock.acquire(blocking=False)
        self.closed = threading.Event()
        self.thread = threading.Thread(target=self._touch, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.closed.set()
        self.thread.join()
        self.path.unlink(missing_ok=True)
        self.lock.release()

    def _touch(self) -> None:
        while not self.closed.wait(TOUCH_EVERY):
            os.utime(self.path)


def works(path: Path, worker: str) -> bool:
    """Whether a process still holds ``Working(path)``.

    Args:
        worker: the name that the process gave itself, see :func:`worker_name`.
    """
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    lock.release()
    elsewhere = worker.rpartition(":")[0] != socket.gethostname()
    return elsewhere and time.time() - path.stat().st_mtime < STALE_AFTER


def worker_name() -> str:
    """Machine and process."""
    return f"{socket.gethostname()}:{os.getpid()}"
