"""What a training took: time, and the most memory it held at once, over all the sessions it took."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Bytes held at most since construction: of the device on CUDA, else resident bytes of this process.

    A process that trains several times starts counting anew where Linux allows it (writing 5 to
    ``/proc/self/clear_refs`` resets the peak). Elsewhere the figure is the whole process's.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        elif os.access(CLEAR, os.W_OK):
            CLEAR.write_text("5")

    def bytes(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        if STATUS.exists():
            (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
            return int(line.split()[1]) * 1024
        try:
            import resource  # POSIX only
        except ModuleNotFoundError:
            return 0  # not measured
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


class Meter:
    """Seconds and bytes of a training since construction, and of the sessions before it that a checkpoint knows of.

    What a session did after its last checkpoint is not counted: nobody was left to tell.
    """

    def __init__(self, device: torch.device) -> None:
        self.started = time.perf_counter()
        self.memory = PeakMemory(device)
        self.before: Mapping[str, float] = {"total_seconds": 0.0, "peak_memory_bytes": 0, "sessions": 0}

    def state_dict(self) -> dict[str, float]:
        """What was spent so far; ready for result.json."""
        return {
            "total_seconds": self.before["total_seconds"] + time.perf_counter() - self.started,
            "peak_memory_bytes": max(self.before["peak_memory_bytes"], self.memory.bytes()),
            "sessions": self.before["sessions"] + 1,
        }

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        self.before = state
