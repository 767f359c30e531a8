"""Times of several calls measured side by side, so that whatever else the machine does strikes all of them."""

import time
from collections.abc import Callable, Mapping
from statistics import median

import torch

from benchmarks.profiling.cost.counting import Counts, count
from benchmarks.profiling.cost.pieces import Piece
from benchmarks.profiling.cost.steps import Size, Step


def interleaved_medians(
    calls: Mapping[str, Step],
    rounds: int,
    warm_up: int,
    device: str = "cpu",
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of each call over `rounds` rounds in which each runs once."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(warm_up + rounds):
        for name, call in calls.items():
            wait_for(device)
            begun = clock()
            call()
            wait_for(device)
            if number >= warm_up:
                seconds[name].append(clock() - begun)
    return {name: median(times) for name, times in seconds.items()}


def wait_for(device: str) -> None:
    """Until the device has done all it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def measure(piece: Piece, size: Size, rounds: int, warm_up: int = 3) -> dict[str, float | int | str]:
    """One piece at one size: milliseconds, kernels, waits and memory of both sides, as a row of the table.

    On the CPU, milliseconds are those that this process had the processor: of one thread, and whatever else runs.
    """
    builders = {"baseline": piece.baseline, "augmented": piece.augmented}
    if piece.enlarged is not None:
        builders["enlarged"] = piece.enlarged
    clock = time.process_time if torch.device(size.device).type == "cpu" else time.perf_counter
    steps = {name: build(size) for name, build in builders.items()}
    seconds = interleaved_medians(steps, rounds, warm_up, size.device, clock)
    baseline, augmented = _counts(piece.baseline, size), _counts(piece.augmented, size)
    row: dict[str, float | int | str] = {
        "piece": piece.name,
        **{name: getattr(size, name) for name in ("batch", "classes", "dimension", "device")},
        "baseline_ms": 1e3 * seconds["baseline"],
        "augmented_ms": 1e3 * seconds["augmented"],
        "time_ratio": seconds["augmented"] / seconds["baseline"],
        "goal": piece.goal,
        "enlarged_ratio": seconds["enlarged"] / seconds["baseline"] if "enlarged" in seconds else "",
        "kernels_added": augmented.kernels - baseline.kernels,
        "waits_added": augmented.waits - baseline.waits,
        "memory_ratio": augmented.peak_bytes / baseline.peak_bytes,
    }
    there = size._replace(labels_there=True)
    row["waits_added_labels_there"] = _counts(piece.augmented, there).waits - _counts(piece.baseline, there).waits
    return row


def _counts(build: Callable[[Size], Step], size: Size) -> Counts:
    return count(lambda device: build(size._replace(device=device)))
