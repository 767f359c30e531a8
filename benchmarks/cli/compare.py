"""``pml-aug compare A B``: by how much B is better than A, in one line."""

from collections.abc import Sequence
from pathlib import Path

from .arguments import Parser


def main(argv: Sequence[str]) -> int:
    """Print the comparison in one line.

    Raises:
        UserError: A or B is no finished run and no directory of runs of one kind, or their set-ups differ.
    """
    parser = Parser(
        prog="pml-aug compare",
        description="How much better B is than A in test MAP@R (of classifiers Top-1), in one line. Both are run "
        "directories of one seed and fold (the interval is then over test classes), or both are directories of runs of "
        "one loss and method each, paired by seed and fold. Only loss and method may differ; any other difference is "
        "refused and named.",
    )
    parser.add_argument("a", type=Path, metavar="A", help="a run directory, or a directory of them")
    parser.add_argument("b", type=Path, metavar="B", help="the same, to compare A with")
    parser.add_argument(
        "--force",
        action="store_true",
        help="compare different set-ups too, and print the differences; never different data",
    )
    given = parser.parse_args(argv)

    from ..report.compare import compare  # loads scipy, which takes seconds

    print(compare(given.a, given.b, given.force))
    return 0
