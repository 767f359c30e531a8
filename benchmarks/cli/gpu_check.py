"""``pml-aug gpu-check``: what a GPU makes of it all, in a given number of minutes."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from .arguments import Parser


def main(argv: Sequence[str]) -> int:
    """``pml-aug gpu-check``; 1 if any step failed or was killed at its limit."""
    parser = Parser(
        prog="pml-aug gpu-check",
        description="What the machine is, the tests that need a GPU, each part of the library, whole steps of "
        "ResNet-50, evaluation, and as many seeds of a small study as fit, each in a process of its own with a limit; "
        "in the end a table beside the goals. Nothing is downloaded, and weights are random.",
        epilog="to try it without a GPU: pml-aug gpu-check --device cpu --tiny --minutes 2",
    )
    parser.add_argument("--minutes", type=float, default=12, help="for all steps together (default: 12)")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu (default: cuda)")
    parser.add_argument("--tiny", action="store_true", help="sizes whose numbers mean nothing, to try it")
    parser.add_argument("--only", nargs="+", default=[], metavar="STEP", help="steps, if not all; the others are kept")
    parser.add_argument("--out", type=Path, default=Path("reports/gpu"), help="folder for the results")
    given = parser.parse_args(argv)
    if given.minutes <= 0:
        raise UserError(f"--minutes must be above 0, but got {given.minutes:g}")
    from ..profiling.gpu_check import gpu_check, write_summary  # loads torch, which takes seconds
    from ..profiling.gpu_steps import FULL, TINY

    failed = gpu_check(given.device, given.minutes, given.out, TINY if given.tiny else FULL, given.only)
    print(write_summary(given.out, given.device, given.minutes))
    print(f"written: {given.out}")
    return 1 if failed else 0
