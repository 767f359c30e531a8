"""``pml-aug features``: compute a trunk's features of a data set once."""

import time
from collections.abc import Sequence
from pathlib import Path

from ..config.compose import compose
from .arguments import Parser, add_overrides, parse_arguments


def main(argv: Sequence[str]) -> int:
    """Compute, write, and say what was written."""
    parser = Parser(
        prog="pml-aug features",
        description="Run a trunk over a data set once and write its features. An interrupted computation goes on where "
        "it stopped.",
        epilog="example: pml-aug features data=glyphs trunk=efficientnet_lite0 --out glyphs.npz",
    )
    add_overrides(parser, "data=NAME, trunk=NAME, or any of their keys; device=cuda; protocol.eval_images")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="FILE.npz, or a directory for sets larger than memory"
    )
    parser.add_argument(
        "--views", type=int, default=0, metavar="V", help="augmented views per training image (protocol.train_images)"
    )
    parser.add_argument(
        "--dtype", choices=("float32", "float16"), default="float32", help="of the features in the file"
    )
    parser.add_argument("--bfloat16", action="store_true", help="compute in bfloat16")
    given = parse_arguments(parser, argv)
    config, options = compose(given.overrides)

    # these load torch, which takes seconds: only now, when the names are known to be right
    from ..data.features import constant_columns, read_features
    from ..training.check import check
    from ..training.extraction import extract

    check(config)
    started = time.perf_counter()
    path = extract(config, options, given.out, given.views, given.dtype, given.bfloat16)
    found = read_features(path, single_images=True)
    shape = " x ".join(f"{size:,}" for size in found.features.shape)
    size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.iterdir()))
    print(
        f"features: {path}, {shape} {found.features.dtype}, {len(found.class_names):,} classes, {size / 1e6:,.1f} MB, "
        f"{time.perf_counter() - started:.1f} s"
    )
    constant = int(constant_columns(found.features).sum())
    dropped = f" data.drop_constant=true ({constant} features have one value in all rows)" if constant else ""
    print(f"train on them: pml-aug run data=features data.path={path}{dropped}")
    return 0
