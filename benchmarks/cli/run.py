"""``pml-aug run``: train and evaluate one model."""

from collections.abc import Sequence
from dataclasses import asdict

import yaml

from ..config.compose import GROUPS, compose, options_of
from .arguments import Parser, add_overrides, parse_arguments


def main(argv: Sequence[str]) -> int:
    """Train one model, unless it is trained already."""
    listed = "\n".join(f"  {group:<10}{', '.join(options_of(group))}" for group in (*GROUPS, "embedder"))
    parser = Parser(
        prog="pml-aug run",
        description="Train and evaluate one model; its run directory is named by the configuration's hash.",
        epilog=f"groups and their options (files under configs/):\n{listed}\n"
        "recipe=NAME chooses all of them as a published command does (files under configs/recipe/, docs/recipes.md)\n"
        "example: pml-aug run loss=triplet method=ee fold=0 seed=1 protocol.epochs=4 runs=runs",
    )
    add_overrides(parser, "group=option or any key of a config")
    parser.add_argument("--cfg", action="store_true", help="print the composed configuration, and stop")
    given = parse_arguments(parser, [word for word in argv if word != "job"])  # Hydra's own spelling: --cfg job
    config, options = compose(given.overrides)
    if given.cfg:
        print(yaml.safe_dump({**asdict(config), **asdict(options)}, sort_keys=False), end="")
        return 0

    # these load torch, which takes seconds: only now, when the names are known to be right
    from ..runs.schema import MODEL
    from ..runs.writer import RunDir
    from ..training.check import check
    from ..training.distributed import is_main_process
    from ..training.train import train

    check(config)
    state = "already done" if RunDir(options.runs, config.identity()).is_done() else "done"
    path = train(config, options)
    if is_main_process():
        lost = options.keep == "weights" and not (path / MODEL).exists()
        print(f"{state}: {path}{' (without its weights; delete it to train it again with keep=weights)' * lost}")
    return 0
