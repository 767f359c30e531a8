"""``python -m benchmarks compare A B``: by how much B is better than A, in one line."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report.compare import compare


def main(argv: Sequence[str]) -> int:
    """Say it in one line.

    Raises:
        UserError: A or B is no finished run and no folder of runs of one kind, or their set-ups differ.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks compare",
        description="How much better B is than A in test MAP@R, in one line. Both are run folders of one seed and fold "
        "(the interval then is over test classes), or both are folders of runs of one loss and method each, paired by "
        "seed and fold. What may differ is loss and method; another set-up is refused and named.",
    )
    parser.add_argument("a", type=Path, metavar="A", help="a run folder, or a folder of them")
    parser.add_argument("b", type=Path, metavar="B", help="what it is compared with")
    parser.add_argument(
        "--force",
        action="store_true",
        help="compare unlike set-ups too, and say in which they differ; never unlike data",
    )
    given = parser.parse_args(argv)
    print(compare(given.a, given.b, given.force))
    return 0
