"""``python -m benchmarks cost``: time, memory and operations of each part of the library beside its baseline."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.cli.arguments import Parser
from benchmarks.errors import UserError
from benchmarks.profiling.cost import at_own_size, cost_table, growth_of, growth_table, measure
from benchmarks.profiling.cost_cases import CASES, Case
from benchmarks.profiling.cost_figures import draw_growth, draw_ratios
from benchmarks.profiling.loss_steps import Size
from benchmarks.profiling.writing import write_csv, write_environment
from benchmarks.runs.writer import write_whole
from benchmarks.training.device import choose_device

GROWTH = {"batch": (32, 128, 512), "classes": (100, 1_000, 11_318), "dimension": (64, 512, 2_048)}


def main(argv: Sequence[str]) -> int:
    """Measure, print the tables, write cost.md, cost.csv, environment.json and the figures."""
    parser = Parser(
        prog="python -m benchmarks cost",
        description="Time, memory, kernels and host waits of each part of the library beside its baseline.",
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--rounds", type=int, default=15, help="of which the median counts")
    parser.add_argument("--only", default="", help="pieces whose name contains this")
    parser.add_argument("--no-growth", action="store_true", help="leave out the growth with batch, classes, dimension")
    parser.add_argument("--out", type=Path, default=Path("reports/cost"), help="folder for the table and the figure")
    given = parser.parse_args(argv)
    device = choose_device(given.device)
    if given.rounds < 1:
        raise UserError(f"--rounds must be at least 1, but got {given.rounds}")
    cases = [case for case in CASES if given.only.lower() in case.name.lower()]
    if not cases:
        raise UserError(f"--only {given.only} matches none of: {'; '.join(case.name for case in CASES)}")
    torch.set_num_threads(1)

    points = [point for case in cases for point in _points(case, given.device, growth=not given.no_growth)]
    rows = [measure(case, size, given.rounds) for case, size in tqdm(points, desc="cost", unit="piece")]
    at_size, growth = at_own_size(rows), growth_of(rows)
    tables = "\n\n".join([cost_table(at_size), growth_table(growth)] if growth else [cost_table(at_size)])
    print(tables)
    given.out.mkdir(parents=True, exist_ok=True)
    write_whole(given.out / "cost.md", f"{tables}\n".encode())
    write_csv(given.out / "cost.csv", rows[0], (row.values() for row in rows))
    write_environment(given.out / "environment.json", device, rounds=given.rounds)
    draw_ratios(at_size, given.out / "cost.png")
    if growth:
        draw_growth(growth, given.out / "growth.png")
    print(f"written: {given.out}")
    return 0


def _points(case: Case, device: str, growth: bool) -> list[tuple[Case, Size]]:
    """The case at its own size, and with one quantity changed at a time."""
    own = case.size._replace(device=device)
    changes: list[dict[str, Any]] = [{}]
    for quantity in case.grows_with if growth else ():
        changes += [{quantity: value} for value in GROWTH[quantity] if value != getattr(own, quantity)]
    return [(case, own._replace(**change)) for change in changes]
