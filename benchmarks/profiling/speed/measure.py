"""The measurements: several pieces taking turns in one process, and one step in several processes at once."""

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from typing import Any, NamedTuple

import torch

from benchmarks.config.compose import RunConfig
from benchmarks.data import ImageArrays
from benchmarks.data.split import Split
from benchmarks.profiling.cost.measure import interleaved_medians, wait_for
from benchmarks.profiling.speed.pieces import Timed, batch_of, data_alone, data_for, step, training, trunk_alone
from benchmarks.profiling.speed.roofline import training_flops
from benchmarks.training.accuracy import RetrievalAccuracy

WARM_UP = 2  # rounds that do not count


class Row(NamedTuple):
    """Of the table."""

    piece: str
    batch: int
    images_per_second: float
    flops_per_image: float | None  # of the trunk, forward and backward; None where it does not run


def measure_steps(
    configs: Sequence[RunConfig], data: ImageArrays, split: Split, device: torch.device, steps: int, rounds: int
) -> list[Row]:
    """Trunk, images and the whole step of every configuration, in turns."""
    with ExitStack() as stack:
        trainings = [stack.enter_context(training(config, data, split, device, steps)) for config in configs]
        flops = (
            training_flops(trainings[0].parts.models["trunk"], batch_of(trainings[0])) / configs[0].protocol.batch_size
        )
        pieces = [trunk_alone(trainings[0]), data_alone(trainings[0])]
        pieces += [step(name_of(config), made) for config, made in zip(configs, trainings, strict=True)]
        seconds = interleaved_medians({piece.name: piece.call for piece in pieces}, rounds, WARM_UP, str(device))
    batch_size = configs[0].protocol.batch_size
    return [
        Row(piece.name, batch_size, piece.images / seconds[piece.name], None if piece.name == "images alone" else flops)
        for piece in pieces
    ]


def measure_evaluation(rows: int, dimension: int, per_class: int, device: torch.device, rounds: int) -> Row:
    """All scores of so many random embeddings, every one against all others."""
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(rows, dimension, generator=generator)).to(device)
    labels = torch.arange(rows, device=device) // per_class
    accuracy = RetrievalAccuracy(device=device)
    name = f"evaluation, {dimension} numbers each"
    calls = {name: lambda: accuracy.get_accuracy(embeddings, labels)}
    return Row(name, rows, rows / interleaved_medians(calls, rounds, 1, str(device))[name], None)


def measure_packed(
    config: RunConfig, random: int | None, device: torch.device, processes: int, steps: int, rounds: int
) -> Row:
    """The whole step in several processes that start together; images of all of them a second."""
    context = get_context("spawn")
    barrier = context.Manager().Barrier(processes)
    arguments = (config, random, str(device), steps, rounds, torch.get_num_threads(), barrier)
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        rates = [pool.submit(_rate, *arguments) for _ in range(processes)]
        together = sum(rate.result() for rate in rates)
    return Row(f"{name_of(config)} in {processes} processes", config.protocol.batch_size, together, None)


def name_of(config: RunConfig) -> str:
    """Loss and method, as they stand in the table."""
    return config.loss.name if config.method.name == "none" else f"{config.loss.name} + {config.method.name}"


def _rate(
    config: RunConfig, random: int | None, device: str, steps: int, rounds: int, threads: int, barrier: Any
) -> float:
    torch.set_num_threads(threads)
    data, split = data_for(config, random)
    with training(config, data, split, torch.device(device), steps) as made:
        piece: Timed = step("", made)
        barrier.wait()
        wait_for(device)
        begun = time.perf_counter()
        for _ in range(rounds):
            piece.call()
        wait_for(device)
        rate = rounds * piece.images / (time.perf_counter() - begun)
        barrier.wait()  # so that none is timed while another has stopped
    return rate
