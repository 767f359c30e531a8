"""Time and peak memory of a training, over all of its sessions."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Peak memory since construction, in bytes: of the device on CUDA, else the resident set of this process.

    On Linux the peak of the process is reset at construction, by writing 5 to ``/proc/self/clear_refs`` where that is
    permitted. Elsewhere the figure covers the whole process; on Windows it is 0, which means not measured.
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
    """Seconds and peak bytes of a training since construction, added to those of earlier sessions in its checkpoint.

    Work after the last checkpoint of an interrupted session is not counted.
    """

    def __init__(self, device: torch.device) -> None:
        self.started = time.perf_counter()
        self.memory = PeakMemory(device)
        self.before: Mapping[str, float] = {"total_seconds": 0.0, "peak_memory_bytes": 0, "sessions": 0}

    def state_dict(self) -> dict[str, float]:
        """Totals so far, as result.json holds them."""
        return {
            "total_seconds": self.before["total_seconds"] + time.perf_counter() - self.started,
            "peak_memory_bytes": max(self.before["peak_memory_bytes"], self.memory.bytes()),
            "sessions": self.before["sessions"] + 1,
        }

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        self.before = state
