"""``pml-aug cost``: time, memory and operations of each part of the library beside its baseline."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from .arguments import Parser


def main(argv: Sequence[str]) -> int:
    """``pml-aug cost``."""
    parser = Parser(
        prog="pml-aug cost",
        description="Time, memory, kernels and host waits of each part of the library beside its baseline.",
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--rounds", type=int, default=15, help="of which the median counts")
    parser.add_argument("--only", default="", help="pieces whose name contains this")
    parser.add_argument("--no-growth", action="store_true", help="leave out the growth with batch, classes, dimension")
    parser.add_argument("--out", type=Path, default=Path("reports/cost"), help="folder for the tables and the figures")
    given = parser.parse_args(argv)
    if given.rounds < 1:
        raise UserError(f"--rounds must be at least 1, but got {given.rounds}")
    from ..profiling.cost import write_costs  # loads torch, which takes seconds

    print(write_costs(given.only, given.device, given.rounds, growth=not given.no_growth, out=given.out))
    print(f"written: {given.out}")
    return 0
