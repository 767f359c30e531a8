"""``python -m benchmarks cost``: what each piece costs beside the baseline, as a table and a figure."""

import argparse
import csv
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.errors import UserError
from benchmarks.profiling.cost.figure import draw, draw_growth
from benchmarks.profiling.cost.measure import measure
from benchmarks.profiling.cost.pieces import PIECES, Piece
from benchmarks.profiling.cost.steps import Size
from benchmarks.profiling.cost.tables import at_own_size, growth_of, growth_table, table
from benchmarks.training.device import choose_device

GROWTH = {"batch": (32, 128, 512), "classes": (100, 1_000, 11_318), "dimension": (64, 512, 2_048)}


def main(argv: Sequence[str]) -> int:
    """Measure, print the tables, write cost.csv, environment.json and the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks cost",
        description="Time, memory, kernels and host waits of each piece beside the baseline, in the same run.",
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--rounds", type=int, default=15, help="of which the median is taken")
    parser.add_argument("--only", default="", help="pieces whose name holds this")
    parser.add_argument("--no-growth", action="store_true", help="leave out the growth with batch, classes, dimension")
    parser.add_argument("--out", type=Path, default=Path("reports/cost"), help="folder for the table and the figure")
    given = parser.parse_args(argv)
    choose_device(given.device)
    if given.rounds < 1:
        raise UserError(f"--rounds must be at least 1, but got {given.rounds}")
    pieces = [piece for piece in PIECES if given.only.lower() in piece.name.lower()]
    if not pieces:
        raise UserError(f"--only {given.only} matches none of: {'; '.join(piece.name for piece in PIECES)}")
    torch.set_num_threads(1)

    points = [point for piece in pieces for point in _points(piece, given.device, growth=not given.no_growth)]
    rows = [measure(piece, size, given.rounds) for piece, size in tqdm(points, desc="cost", unit="piece")]
    at_size, growth = at_own_size(rows), growth_of(rows)
    tables = "\n\n".join([table(at_size), growth_table(growth)] if growth else [table(at_size)])
    print(tables)
    given.out.mkdir(parents=True, exist_ok=True)
    with (given.out / "cost.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (given.out / "environment.json").write_text(json.dumps(_environment(given.device, given.rounds), indent=2) + "\n")
    (given.out / "cost.md").write_text(tables + "\n")
    draw(at_size, given.out / "cost.png")
    if growth:
        draw_growth(growth, given.out / "growth.png")
    print(f"written: {given.out}")
    return 0


def _points(piece: Piece, device: str, growth: bool) -> list[tuple[Piece, Size]]:
    """The piece at its own size, and with one quantity changed at a time."""
    own = piece.size._replace(device=device)
    changes: list[dict[str, Any]] = [{}]
    for quantity in piece.grows_with if growth else ():
        changes += [{quantity: value} for value in GROWTH[quantity] if value != getattr(own, quantity)]
    return [(piece, own._replace(**change)) for change in changes]


def _environment(device: str, rounds: int) -> dict[str, str | int]:
    name = torch.cuda.get_device_name() if torch.device(device).type == "cuda" else platform.processor()
    return {
        "device": device,
        "hardware": name or platform.machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "rounds": rounds,
    }
