"""Images per second of trunk, images, whole steps and evaluation, in turns in one process or in several at once."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from tqdm import tqdm

from ..config.compose import RunConfig, RunOptions
from ..data import ImageArrays
from ..data.split import Split
from ..runs.writer import write_whole
from ..training.accuracy import RetrievalAccuracy
from ..training.check import check
from ..training.device import choose_device
from ..training.precision import PRECISIONS
from .feature_steps import FeatureRow, feature_table, measure_feature_steps
from .roofline import Roofline, measure_roofline, training_flops
from .step_counts import StepCounts, count_step
from .timing import interleaved_medians, synchronize
from .training_steps import Timed, batch_of, data_alone, data_for, step, training, trunk_alone
from .writing import draw_bars, figure, markdown_table, write_csv, write_environment

WARM_UP = 2  # rounds


class Sizes(NamedTuple):
    """What is measured, and how often."""

    batches: Sequence[int]  # images per batch
    packed: Sequence[int]  # processes at once
    random: int | None  # side of random images; None: the data of the configuration
    evaluation: tuple[int, int, int]  # rows, dimension, rows per class
    steps: int  # per timed epoch
    rounds: int  # timed epochs, of which the median counts
    features: Sequence[int] = ()  # numbers of features, of trainings on features


class Row(NamedTuple):
    """One row of the table."""

    piece: str
    batch: int
    images_per_second: float
    flops_per_image: float | None  # of the trunk, forward and backward; None where it does not run


def write_speed(
    configs: Sequence[RunConfig],
    options: RunOptions,
    sizes: Sizes,
    out: Path,
    on_features: Sequence[RunConfig] = (),
) -> str:
    """Measure, write speed.md, csv files, environment.json and speed.png to ``out``; returns the tables.

    Args:
        configs: of the trainings, ``method=none`` for baselines; the first one also runs in several processes.
        on_features: of trainings on ``sizes.features`` random features, which a plain loop is timed beside.

    Raises:
        UserError: a training cannot be built, or its data cannot be read.
    """
    for config in (*configs, *on_features):
        check(config)
    device = choose_device(options.device)
    torch.set_num_threads(options.threads)
    first = configs[0]
    roofline = measure_roofline(device, PRECISIONS[first.protocol.precision])
    rows: list[Row] = []
    counts: dict[str, StepCounts] = {}
    with tqdm(total=len(sizes.batches) * (1 + len(sizes.packed)) + 3, desc="speed", disable=options.quiet) as progress:
        for config in configs:
            counts[name_of(config)] = count_step(config, *data_for(config, sizes.random))
        progress.update()
        for batch_size in sizes.batches:
            sized = [replace(config, protocol=replace(config.protocol, batch_size=batch_size)) for config in configs]
            rows += measure_steps(sized, *data_for(sized[0], sizes.random), device, sizes.steps, sizes.rounds)
            progress.update()
            for processes in sizes.packed:
                rows.append(measure_packed(sized[0], sizes.random, device, processes, sizes.steps, sizes.rounds))
                progress.update()
        rows.append(measure_evaluation(*sizes.evaluation, device, sizes.rounds))
        progress.update()
        of_features = measure_feature_steps(on_features, sizes.features, device, sizes.steps, sizes.rounds)
        progress.update()
    tables = speed_table(rows, roofline, counts)
    if of_features:
        tables = f"{tables}\n\n{feature_table(of_features)}"
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "speed.md", f"{tables}\n".encode())
    write_csv(out / "speed.csv", Row._fields, rows)
    write_csv(out / "feature_steps.csv", FeatureRow._fields, of_features)
    counted = ((name, *of_step) for name, of_step in counts.items())
    write_csv(out / "step_counts.csv", ("step", *StepCounts._fields), counted)
    chosen = {"trunk": first.trunk.name, "protocol": first.protocol.name, "precision": first.protocol.precision}
    write_environment(out / "environment.json", device, roofline=roofline._asdict(), **chosen)
    draw_speed(rows, out / "speed.png")
    return tables


def measure_steps(
    configs: Sequence[RunConfig], data: ImageArrays, split: Split, device: torch.device, steps: int, rounds: int
) -> list[Row]:
    """Rows of the trunk, the images and the whole step of every configuration, measured in turns."""
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
    """The row of an evaluation: all scores of random embeddings, each compared with all others."""
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(rows, dimension, generator=generator)).to(device)
    labels = torch.arange(rows, device=device) // per_class
    accuracy = RetrievalAccuracy(device=device)
    name = f"evaluation, {dimension} numbers each"
    calls = {name: lambda: accuracy.get_accuracy(embeddings, labels)}
    return Row(name, rows, rows / interleaved_medians(calls, rounds, 1, str(device))[name], None)


def measure_packed(
    config: RunConfig,
    random: int | None,
    device: torch.device,
    processes: int,
    steps: int,
    rounds: int,
    start: Literal["spawn", "fork"] = "spawn",
) -> Row:
    """The row of a whole step in several processes that start together; images per second of all of them.

    Args:
        start: "fork" saves seconds, but does not go with CUDA, nor in a process that has computed anything.
    """
    context: Any = get_context(start)
    barrier = context.Manager().Barrier(processes)
    arguments = (config, random, str(device), steps, rounds, torch.get_num_threads(), barrier)
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        rates = [pool.submit(_rate, *arguments) for _ in range(processes)]
        together = sum(rate.result() for rate in rates)
    return Row(f"{name_of(config)} in {processes} processes", config.protocol.batch_size, together, None)


def name_of(config: RunConfig) -> str:
    """Loss and method as the table names them."""
    return config.loss.name if config.method.name == "none" else f"{config.loss.name} + {config.method.name}"


def _rate(
    config: RunConfig, random: int | None, device: str, steps: int, rounds: int, threads: int, barrier: Any
) -> float:
    torch.set_num_threads(threads)
    data, split = data_for(config, random)
    with training(config, data, split, torch.device(device), steps) as made:
        piece: Timed = step("", made)
        barrier.wait()
        synchronize(device)
        begun = time.perf_counter()
        for _ in range(rounds):
            piece.call()
        synchronize(device)
        rate = rounds * piece.images / (time.perf_counter() - begun)
        barrier.wait()  # so that none is timed while another has stopped
    return rate


def speed_table(rows: Sequence[Row], roofline: Roofline, counts: Mapping[str, StepCounts]) -> str:
    """Markdown: images per second, the step relative to the baseline, its share of the roofline, its counts."""
    measured = []
    for row in rows:
        baseline = _baseline_of(row, rows)
        ratio = "" if baseline is None else f"{baseline.images_per_second / row.images_per_second:.2f}"
        share = (
            "" if row.flops_per_image is None else f"{row.flops_per_image * row.images_per_second / roofline.flops:.1%}"
        )
        milliseconds = f"{1e3 * row.batch / row.images_per_second:,.2f}"
        measured.append([row.piece, f"{row.batch:,}", f"{row.images_per_second:,.0f}", milliseconds, ratio, share])
    counted = []
    for step_name, of_step in counts.items():
        loss, plus, _ = step_name.partition(" + ")
        added = f"{of_step.kernels - counts[loss].kernels:+,}" if plus and loss in counts else ""
        counted.append([step_name, f"{of_step.kernels:,}", added, of_step.waits])
    header = ["piece", "batch", "images/s", "ms per batch", "time relative to the baseline step", "of peak FLOP/s"]
    return "\n\n".join(
        [
            f"At most {roofline.flops / 1e12:.3g} TFLOP/s, {roofline.bytes / 1e9:.3g} GB/s, "
            f"{roofline.launch * 1e6:.2g} microseconds per launch.",
            markdown_table(header, measured, numbers=True),
            markdown_table(["step", "kernels", "added to the baseline step", "host waits"], counted, numbers=True),
        ]
    )


def draw_speed(rows: Sequence[Row], path: Path) -> None:
    """One bar per piece and batch size, on a logarithmic scale."""
    batches = sorted({row.batch for row in rows})
    colors = [f"C{batches.index(row.batch)}" for row in rows]
    names = [f"{row.piece}, {row.batch:,}" for row in rows]
    with figure(path, 8, 1 + 0.32 * len(rows)) as (_, (axes,)):
        draw_bars(axes, names, [row.images_per_second for row in rows], colors, "{:,.0f}".format)
        axes.set_xscale("log")
        axes.set_xlabel("images per second (logarithmic)")


def _baseline_of(row: Row, rows: Sequence[Row]) -> Row | None:
    """The baseline's step of the same batch size, for the step of a method."""
    loss, plus, _ = row.piece.partition(" + ")
    return next((other for other in rows if plus and (other.piece, other.batch) == (loss, row.batch)), None)
