"""``pml-aug speed``: images per second of each part of a training, beside the limits of the machine."""

from collections.abc import Sequence
from pathlib import Path

from ..config.compose import compose
from ..errors import UserError
from .arguments import Parser, add_overrides, parse_arguments

PAIRS = (
    "multi_similarity/none", "multi_similarity/ee", "multi_similarity/iaa", "multi_similarity/das_originals",
    "multi_similarity/metrix", "multi_similarity/symm", "normalized_softmax/none", "normalized_softmax/memvir",
    "proxy_anchor/none", "proxy_anchor/ps", "proxy_anchor/see", "proxy_anchor/idml_no_mixup", "proxy_anchor/idml",
    "proxy_anchor/mixup",
)  # fmt: skip
EVALUATION = (10_000, 128, 20)  # rows, dimension, rows per class


def main(argv: Sequence[str]) -> int:
    """``pml-aug speed``."""
    parser = Parser(
        prog="pml-aug speed",
        description="Images per second of trunk, images, each method's whole step and evaluation, in turns in one "
        "process, and of the baseline in several processes at once; kernels and host waits of each step; steps on "
        "features in turns with a plain PyTorch loop over the same parts.",
        epilog="example: pml-aug speed trunk=resnet50 protocol=reality_check --random 256 --batch 32 128",
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
    parser.add_argument(
        "--features", nargs="*", type=int, default=[384, 1280], metavar="NUMBER",
        help="numbers of random features to train on in batches of 128, beside a plain loop; none: leave it out",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, default=10, help="per timed epoch")
    parser.add_argument("--rounds", type=int, default=7, help="timed epochs, of which the median counts")
    parser.add_argument("--out", type=Path, default=Path("reports/speed"), help="folder for the table and the figure")
    given = parse_arguments(parser, argv)
    for name in ("steps", "rounds", "random", "batch", "packed", "evaluate", "features"):
        value = getattr(given, name)
        if value is not None and min(value if isinstance(value, Sequence) else [value], default=1) < 1:
            raise UserError(f"--{name} must be at least 1, but got {value}")
    configs, on_features = [], []
    for pair in given.pairs:
        loss, _, method = pair.partition("/")
        parts = [f"loss={loss}", f"method={method or 'none'}"]
        config, options = compose([*given.overrides, *parts])
        configs.append(config)
        if given.features:
            on_features.append(compose(["data=features", *parts])[0])
    from ..profiling.speed import Sizes, write_speed  # loads torch, which takes seconds

    rows, dimension, per_class = given.evaluate
    evaluation = (rows, dimension, per_class)
    sizes = Sizes(given.batch, given.packed, given.random, evaluation, given.steps, given.rounds, given.features)
    print(write_speed(configs, options, sizes, given.out, on_features))
    print(f"written: {given.out}")
    return 0
