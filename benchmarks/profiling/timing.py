"""Median times of several calls that take turns, so that other load on the machine affects all of them alike."""

import time
from collections.abc import Callable, Mapping
from statistics import median

import torch


def interleaved_medians(
    calls: Mapping[str, Callable[[], object]],
    rounds: int,
    warm_up: int,
    device: str = "cpu",
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of each call over ``rounds`` rounds in which each runs once.

    Args:
        warm_up: rounds before these, which do not count.
        device: synchronised before and after each call.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(warm_up + rounds):
        for name, call in calls.items():
            synchronize(device)
            started = clock()
            call()
            synchronize(device)
            if number >= warm_up:
                seconds[name].append(clock() - started)
    return {name: median(times) for name, times in seconds.items()}


def synchronize(device: str) -> None:
    """Wait until the device has finished its queued work."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
