"""``python -m benchmarks speed``: images per second of each part of a training, beside the limits of the machine."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.cli.arguments import Parser, add_overrides, parse_arguments
from benchmarks.config.compose import RunConfig, RunOptions, compose
from benchmarks.errors import UserError
from benchmarks.profiling.roofline import measure_roofline
from benchmarks.profiling.speed import (
    Row,
    draw_speed,
    measure_evaluation,
    measure_packed,
    measure_steps,
    name_of,
    speed_table,
)
from benchmarks.profiling.step_counts import StepCounts, count_step
from benchmarks.profiling.training_steps import data_for
from benchmarks.profiling.writing import write_csv, write_environment
from benchmarks.runs.writer import write_whole
from benchmarks.training.build import check
from benchmarks.training.device import choose_device
from benchmarks.training.precision import PRECISIONS

PAIRS = (
    "multi_similarity/none", "multi_similarity/ee", "multi_similarity/iaa", "proxy_anchor/none", "proxy_anchor/ps",
    "proxy_anchor/idml_no_mixup", "proxy_anchor/idml", "proxy_anchor/mixup",
)  # fmt: skip
EVALUATION = (10_000, 128, 20)  # rows, dimension, rows per class


def main(argv: Sequence[str]) -> int:
    """Measure, print the tables, write speed.md, speed.csv, step_counts.csv, environment.json and speed.png."""
    parser = Parser(
        prog="python -m benchmarks speed",
        description="Images per second of trunk, images, each method's whole step and evaluation, in turns in one "
        "process, and of the baseline in several processes at once; kernels and host waits of each step.",
        epilog="example: python -m benchmarks speed trunk=resnet50 protocol=reality_check --random 256 --batch 32 128",
    )
    add_overrides(parser, "of the training: data, trunk, protocol, ...")
    parser.add_argument("--pairs", nargs="+", default=PAIRS, metavar="LOSS/METHOD", help="steps to be timed")
    parser.add_argument("--batch", nargs="+", type=int, default=[32, 128], metavar="IMAGES", help="batch sizes")
    parser.add_argument(
        "--packed", nargs="+", type=int, default=[2], metavar="PROCESSES", help="numbers of processes at once"
    )
    parser.add_argument(
        "--random", type=int, metavar="SIDE", help="random colour images of this side instead of the data"
    )
    parser.add_argument("--evaluate", nargs=3, type=int, default=EVALUATION, metavar=("ROWS", "DIM", "PER_CLASS"))
    parser.add_argument("--steps", type=int, default=10, help="per timed epoch")
    parser.add_argument("--rounds", type=int, default=7, help="timed epochs, of which the median counts")
    parser.add_argument("--out", type=Path, default=Path("reports/speed"), help="folder for the table and the figure")
    given = parse_arguments(parser, argv)
    for name in ("steps", "rounds", "random", "batch", "packed", "evaluate"):
        value = getattr(given, name)
        if value is not None and min(value if isinstance(value, Sequence) else [value]) < 1:
            raise UserError(f"--{name} must be at least 1, but got {value}")
    configs, options = _configs(given.overrides, given.pairs)
    device = choose_device(options.device)
    torch.set_num_threads(options.threads)

    roofline = measure_roofline(device, PRECISIONS[configs[0].protocol.precision])
    rows: list[Row] = []
    counts: dict[str, StepCounts] = {}
    with tqdm(total=len(given.batch) * (1 + len(given.packed)) + 2, desc="speed", disable=options.quiet) as progress:
        for config in configs:
            counts[name_of(config)] = count_step(config, *data_for(config, given.random))
        progress.update()
        for batch_size in given.batch:
            sized = [replace(config, protocol=replace(config.protocol, batch_size=batch_size)) for config in configs]
            data, split = data_for(sized[0], given.random)
            rows += measure_steps(sized, data, split, device, given.steps, given.rounds)
            progress.update()
            for processes in given.packed:
                rows.append(measure_packed(sized[0], given.random, device, processes, given.steps, given.rounds))
                progress.update()
        count, dimension, per_class = given.evaluate
        rows.append(measure_evaluation(count, dimension, per_class, device, given.rounds))
        progress.update()
    tables = speed_table(rows, roofline, counts)
    print(tables)
    given.out.mkdir(parents=True, exist_ok=True)
    write_whole(given.out / "speed.md", f"{tables}\n".encode())
    write_csv(given.out / "speed.csv", Row._fields, rows)
    write_csv(
        given.out / "step_counts.csv", ("step", *StepCounts._fields), ((name, *of) for name, of in counts.items())
    )
    chosen = {"trunk": configs[0].trunk.name, "protocol": configs[0].protocol.name}
    chosen["precision"] = configs[0].protocol.precision
    write_environment(given.out / "environment.json", device, roofline=roofline._asdict(), **chosen)
    draw_speed(rows, given.out / "speed.png")
    print(f"written: {given.out}")
    return 0


def _configs(overrides: Sequence[str], pairs: Sequence[str]) -> tuple[list[RunConfig], RunOptions]:
    configs = []
    for pair in pairs:
        loss, _, method = pair.partition("/")
        config, options = compose([*overrides, f"loss={loss}", f"method={method or 'none'}"])
        check(config)
        configs.append(config)
    return configs, options
