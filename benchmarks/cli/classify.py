"""``pml-aug classify``: train and evaluate one classifier."""

from collections.abc import Sequence
from dataclasses import asdict

import yaml

from ..config.classification import CLASSIFY, compose_classification
from ..config.compose import options_of
from .arguments import Parser, add_overrides, parse_arguments


def main(argv: Sequence[str]) -> int:
    """Train one classifier, unless it is trained already."""
    listed = "\n".join(f"  {key:<10}{', '.join(options_of(CLASSIFY.directory(key)))}" for key in CLASSIFY.groups)
    parser = Parser(
        prog="pml-aug classify",
        description="Train and evaluate one classifier by softmax or introspective softmax, alone or on mixtures; its "
        "run directory is named by the configuration's hash.",
        epilog=f"groups and their options (files under configs/classification/):\n{listed}\n"
        "recipe=NAME chooses all of them as a published command does (docs/classification.md)\n"
        "example: pml-aug classify loss=introspective_softmax mix=cutmix seed=1 protocol.epochs=4",
    )
    add_overrides(parser, "group=option or any key of a config")
    parser.add_argument("--cfg", action="store_true", help="print the composed configuration, and stop")
    given = parse_arguments(parser, argv)
    config, options = compose_classification(given.overrides)
    if given.cfg:
        print(yaml.safe_dump({**asdict(config), **asdict(options)}, sort_keys=False), end="")
        return 0

    # these load torch, which takes seconds: only now, when the names are known to be right
    from ..classification.train import train_classifier
    from ..runs.reader import read_run
    from ..runs.writer import RunDir

    state = "already done" if RunDir(options.runs, config.identity()).is_done() else "done"
    path = train_classifier(config, options)
    scores = read_run(path).selected().test
    print(", ".join(f"{name} {100 * score:.1f}" for name, score in scores.items()), "(test, last epoch, points)")
    print(f"{state}: {path}")
    return 0
