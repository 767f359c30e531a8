"""``python -m benchmarks speed``: images per second, piece by piece, beside what the machine could do."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.cli.arguments import add_overrides, overrides_of
from benchmarks.config.compose import RunConfig, RunOptions, compose
from benchmarks.errors import UserError
from benchmarks.profiling.speed.demands import demands
from benchmarks.profiling.speed.measure import Row, measure_evaluation, measure_packed, measure_steps, name_of
from benchmarks.profiling.speed.pieces import data_for
from benchmarks.profiling.speed.roofline import measure_roofline
from benchmarks.profiling.speed.write import table, write
from benchmarks.training.build import check
from benchmarks.training.device import choose_device
from benchmarks.training.precision import PRECISIONS

PAIRS = (
    "multi_similarity/none", "multi_similarity/ee", "multi_similarity/iaa", "proxy_anchor/none", "proxy_anchor/ps",
    "proxy_anchor/idml_no_mixup", "proxy_anchor/idml", "proxy_anchor/mixup",
)  # fmt: skip
EVALUATION = (10_000, 128, 20)  # rows, dimension, rows a class


def main(argv: Sequence[str]) -> int:
    """Measure, print the table, write speed.csv, environment.json and speed.png."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks speed",
        description="Images per second of trunk, images, each method's whole step and evaluation, side by side in one "
        "process, and of the baseline packed into several processes; kernels and host waits of each step, counted.",
        epilog="example: python -m benchmarks speed trunk=resnet50 protocol=reality_check --random 256 --batch 32 128",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_overrides(parser, "of the training: data, trunk, protocol, ...")
    parser.add_argument("--pairs", nargs="+", default=PAIRS, metavar="LOSS/METHOD", help="whose steps are timed")
    parser.add_argument("--batch", nargs="+", type=int, default=[32, 128], metavar="IMAGES", help="batch sizes")
    parser.add_argument("--packed", nargs="+", type=int, default=[2], metavar="PROCESSES", help="side by side")
    parser.add_argument("--random", type=int, metavar="SIDE", help="random colour images of this side, not the data")
    parser.add_argument("--evaluate", nargs=3, type=int, default=EVALUATION, metavar=("ROWS", "DIM", "PER_CLASS"))
    parser.add_argument("--steps", type=int, default=10, help="in one timed epoch")
    parser.add_argument("--rounds", type=int, default=7, help="epochs of each, of which the median is taken")
    parser.add_argument("--out", type=Path, default=Path("reports/speed"), help="folder for the table and the figure")
    given = parser.parse_intermixed_args(argv)
    for name in ("steps", "rounds", "random", "batch", "packed", "evaluate"):
        value = getattr(given, name)
        if value is not None and min(value if isinstance(value, Sequence) else [value]) < 1:
            raise UserError(f"--{name} must be at least 1, but got {value}")
    configs, options = _configs(overrides_of(given), given.pairs)
    device = choose_device(options.device)
    torch.set_num_threads(options.threads)

    roofline = measure_roofline(device, PRECISIONS[configs[0].protocol.precision])
    rows: list[Row] = []
    asked = {}
    with tqdm(total=len(given.batch) * (1 + len(given.packed)) + 2, desc="speed", disable=options.quiet) as progress:
        for config in configs:
            asked[name_of(config)] = demands(config, *data_for(config, given.random))
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
    print(table(rows, roofline, asked))
    write(given.out, rows, roofline, asked, configs[0], device)
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
