"""Times of several calls measured side by side, so that whatever else the machine does strikes all of them."""

import time
from collections.abc import Callable, Mapping
from statistics import median

import torch

from .counting import count
from .pieces import Piece, Size, Step


def interleaved_medians(calls: Mapping[str, Step], rounds: int, warm_up: int, device: str = "cpu") -> dict[str, float]:
    """Median seconds of each call over `rounds` rounds in which each runs once."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(warm_up + rounds):
        for name, call in calls.items():
            wait_for(device)
            begun = time.perf_counter()
            call()
            wait_for(device)
            if number >= warm_up:
                seconds[name].append(time.perf_counter() - begun)
    return {name: median(times) for name, times in seconds.items()}


def wait_for(device: str) -> None:
    """Until the device has done all it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def measure(piece: Piece, size: Size, rounds: int, warm_up: int = 3) -> dict[str, float | int | str]:
    """One piece at one size: milliseconds, kernels, waits and memory of both sides, as a row of the table."""
    builders: dict[str, Callable[[Size], Step]] = {"bare": piece.bare, "augmented": piece.augmented}
    steps = {name: build(size) for name, build in builders.items()}
    seconds = interleaved_medians(steps, rounds, warm_up, size.device)
    bare, augmented = count(steps["bare"]), count(steps["augmented"])
    return {
        "piece": piece.name,
        **{key: value for key, value in size._asdict().items() if key != "per_class"},
        "bare_ms": 1e3 * seconds["bare"],
        "augmented_ms": 1e3 * seconds["augmented"],
        "time_ratio": seconds["augmented"] / seconds["bare"],
        "goal": piece.goal,
        "kernels_added": augmented.kernels - bare.kernels,
        "waits_added": augmented.waits - bare.waits,
        "memory_ratio": augmented.peak_bytes / bare.peak_bytes,
    }
