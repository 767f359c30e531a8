"""``pml-aug report RUNS --out DIR``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from .arguments import Parser


def main(argv: Sequence[str]) -> int:
    """Write the report and print the paths of its files.

    Raises:
        UserError: the runs do not allow a report; the message says which and why.
    """
    parser = Parser(
        prog="pml-aug report",
        description="Compare finished runs: report.html, report.md, tables.tex, results.csv, comparisons.csv, "
        "curves.csv.",
    )
    parser.add_argument("runs", type=Path, metavar="RUNS", help="directory that holds the run directories")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write the report (default: RUNS/report)")
    parser.add_argument(
        "--margin", type=positive, metavar="POINTS",
        help="of MAP@R within which two losses count as equivalent; choose it before the runs are seen (default: "
        "that of docs/statistics.md)",
    )  # fmt: skip
    arguments = parser.parse_args(argv)

    from ..report.write import write_report  # loads matplotlib and scipy, which takes seconds
    from ..statistics import MARGIN

    out, margin = arguments.out or arguments.runs / "report", arguments.margin or MARGIN
    for path in write_report(arguments.runs, out, margin):
        print(path)
    return 0


def positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"must be above 0, but got {text}")
    return value
