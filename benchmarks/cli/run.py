"""``python -m benchmarks run``: train and evaluate one model."""

import argparse
from collections.abc import Sequence

from benchmarks.cli.arguments import add_overrides, overrides_of
from benchmarks.config.compose import GROUPS, compose, options_of
from benchmarks.runs.writer import RunDir
from benchmarks.training.build import check
from benchmarks.training.distributed import speaks
from benchmarks.training.train import train


def main(argv: Sequence[str]) -> int:
    """``python -m benchmarks run``."""
    listed = "\n".join(f"  {group:<10}{', '.join(options_of(group))}" for group in GROUPS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks run",
        description="Train and evaluate one model; the run folder is named by the configuration's hash.",
        epilog=f"groups and their options (files under configs/):\n{listed}\n"
        "recipe=NAME chooses all of them as a published command does (files under configs/recipe/, docs/recipes.md)\n"
        "example: python -m benchmarks run loss=triplet method=ee fold=0 seed=1 protocol.epochs=4 runs=runs",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_overrides(parser, "group=option or any key of a config")
    config, options = compose(overrides_of(parser.parse_intermixed_args(argv)))
    check(config)
    folder = RunDir(options.runs, config.identity())
    told = f"already done: {folder.path}" if folder.is_done() else f"done: {train(config, options)}"
    if speaks():
        print(told)
    return 0
