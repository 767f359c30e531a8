"""Times of several calls measured side by side, so that whatever else the machine does strikes all of them."""

import time
from collections.abc import Callable, Mapping
from statistics import median

import torch

from .counting import Counts, count
from .pieces import Piece
from .steps import Size, Step


def interleaved_medians(calls: Mapping[str, Step], rounds: int, warm_up: int, device: str = "cpu") -> dict[str, float]:
    """Median seconds of each call over `rounds` rounds in which each runs once.

    On the CPU these are seconds that this process had the processor, on an accelerator those that passed until it was
    done.
    """
    on_cpu = torch.device(device).type == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    wait = (lambda: None) if on_cpu else torch.cuda.synchronize
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(warm_up + rounds):
        for name, call in calls.items():
            wait()
            begun = clock()
            call()
            wait()
            if number >= warm_up:
                seconds[name].append(clock() - begun)
    return {name: median(times) for name, times in seconds.items()}


def measure(piece: Piece, size: Size, rounds: int, warm_up: int = 3) -> dict[str, float | int | str]:
    """One piece at one size: milliseconds, kernels, waits and memory of both sides, as a row of the table."""
    builders = {"bare": piece.bare, "augmented": piece.augmented}
    if piece.enlarged is not None:
        builders["enlarged"] = piece.enlarged
    seconds = interleaved_medians({name: build(size) for name, build in builders.items()}, rounds, warm_up, size.device)
    bare, augmented = _counts(piece.bare, size), _counts(piece.augmented, size)
    row: dict[str, float | int | str] = {
        "piece": piece.name,
        **{name: getattr(size, name) for name in ("batch", "classes", "dimension", "device")},
        "bare_ms": 1e3 * seconds["bare"],
        "augmented_ms": 1e3 * seconds["augmented"],
        "time_ratio": seconds["augmented"] / seconds["bare"],
        "goal": piece.goal,
        "enlarged_ratio": seconds["enlarged"] / seconds["bare"] if "enlarged" in seconds else "",
        "kernels_added": augmented.kernels - bare.kernels,
        "waits_added": augmented.waits - bare.waits,
        "memory_ratio": augmented.peak_bytes / bare.peak_bytes,
    }
    there = size._replace(labels_there=True)
    row["waits_added_labels_there"] = _counts(piece.augmented, there).waits - _counts(piece.bare, there).waits
    return row


def _counts(build: Callable[[Size], Step], size: Size) -> Counts:
    return count(lambda device: build(size._replace(device=device)))
