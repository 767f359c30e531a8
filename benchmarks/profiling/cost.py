"""Costs of each case beside its baseline: rows, the tables of ratios and of their growth, and the files."""

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ..errors import UserError
from ..runs.writer import write_whole
from ..training.device import choose_device
from .cost_cases import CASES, Case
from .cost_figures import Growth, Row, draw_growth, draw_ratios
from .loss_steps import Size, Step
from .op_counter import Counts, count
from .timing import interleaved_medians
from .writing import markdown_table, write_csv, write_environment

GROWTH = {"batch": (32, 128, 512), "classes": (100, 1_000, 11_318), "dimension": (64, 512, 2_048)}


def write_costs(only: str, device: str, rounds: int, growth: bool, out: Path) -> str:
    """Measure the cases and write cost.md, cost.csv, environment.json and the figures to ``out``; the tables.

    Args:
        only: part of the names of the cases; "" for all.
        growth: also measure with one quantity of :data:`GROWTH` changed at a time.

    Raises:
        UserError: no case has such a name, or the device cannot be used.
    """
    chosen = choose_device(device)
    cases = [case for case in CASES if only.lower() in case.name.lower()]
    if not cases:
        raise UserError(f"--only {only} matches none of: {'; '.join(case.name for case in CASES)}")
    torch.set_num_threads(1)
    points = [point for case in cases for point in _points(case, device, growth)]
    rows = [measure(case, size, rounds) for case, size in tqdm(points, desc="cost", unit="piece")]
    at_size, grown = at_own_size(rows), growth_of(rows)
    tables = "\n\n".join([cost_table(at_size), growth_table(grown)] if grown else [cost_table(at_size)])
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "cost.md", f"{tables}\n".encode())
    write_csv(out / "cost.csv", rows[0], (row.values() for row in rows))
    write_environment(out / "environment.json", chosen, rounds=rounds)
    draw_ratios(at_size, out / "cost.png")
    if grown:
        draw_growth(grown, out / "growth.png")
    return tables


def _points(case: Case, device: str, growth: bool) -> list[tuple[Case, Size]]:
    """The case at its own size, and with one quantity changed at a time."""
    own = case.size._replace(device=device)
    changes: list[dict[str, Any]] = [{}]
    for quantity in case.grows_with if growth else ():
        changes += [{quantity: value} for value in GROWTH[quantity] if value != getattr(own, quantity)]
    return [(case, own._replace(**change)) for change in changes]


def measure(case: Case, size: Size, rounds: int, warm_up: int = 3) -> dict[str, float | int | str]:
    """One case at one size: milliseconds, kernels, waits and memory of both sides, as a row of the table."""
    timed = time_case(case, size, rounds, warm_up)
    baseline, augmented = _counts(case.baseline, size), _counts(case.augmented, size)
    on_device = size._replace(labels_on_device=True)
    return {
        **timed,
        "kernels_added": augmented.kernels - baseline.kernels,
        "waits_added": augmented.waits - baseline.waits,
        "memory_ratio": augmented.peak_bytes / baseline.peak_bytes,
        "waits_added_labels_on_device": _counts(case.augmented, on_device).waits
        - _counts(case.baseline, on_device).waits,
    }


def time_case(case: Case, size: Size, rounds: int, warm_up: int = 3) -> dict[str, float | int | str]:
    """One case at one size: milliseconds of both sides, and their ratio.

    On the CPU, milliseconds are processor time of this process, which other load does not lengthen.
    """
    builders = {"baseline": case.baseline, "augmented": case.augmented}
    if case.enlarged is not None:
        builders["enlarged"] = case.enlarged
    clock = time.process_time if torch.device(size.device).type == "cpu" else time.perf_counter
    steps = {name: build(size) for name, build in builders.items()}
    seconds = interleaved_medians(steps, rounds, warm_up, size.device, clock)
    return {
        "piece": case.name,
        **{name: getattr(size, name) for name in (*GROWTH, "device")},
        "baseline_ms": 1e3 * seconds["baseline"],
        "augmented_ms": 1e3 * seconds["augmented"],
        "time_ratio": seconds["augmented"] / seconds["baseline"],
        "goal": case.goal,
        "enlarged_ratio": seconds["enlarged"] / seconds["baseline"] if "enlarged" in seconds else "",
    }


def _counts(build: Callable[[Size], Step], size: Size) -> Counts:
    return count(lambda device: build(size._replace(device=device)))


def at_own_size(rows: Sequence[Row]) -> list[Row]:
    """The first row of each case."""
    return [next(of_case) for _, of_case in groupby(rows, key=_name)]


def growth_of(rows: Sequence[Row]) -> Growth:
    """For each quantity and case the rows in which every other quantity has its value of the case's first row."""
    growth: dict[str, dict[str, Sequence[Row]]] = {}
    for name, of_case in groupby(rows, key=_name):
        own, *others = of_case
        for quantity in GROWTH:
            line = [row for row in others if all(row[other] == own[other] for other in GROWTH if other != quantity)]
            if line:
                growth.setdefault(quantity, {})[name] = sorted([own, *line], key=lambda row: float(row[quantity]))
    return {quantity: growth[quantity] for quantity in GROWTH if quantity in growth}


def cost_table(rows: Sequence[Row]) -> str:
    """The rows in markdown, each ratio beside its goal."""
    columns: dict[str, Callable[[Row], str]] = {
        "piece": _name,
        "baseline ms": lambda row: f"{row['baseline_ms']:.2f}",
        "with ms": lambda row: f"{row['augmented_ms']:.2f}",
        "ratio": lambda row: f"{row['time_ratio']:.2f}",
        "goal": lambda row: f"{row['goal']:.2f}",
        "the loss alone, enlarged": lambda row: f"{row['enlarged_ratio']:.2f}" if row["enlarged_ratio"] else "-",
        "kernels added": lambda row: str(row["kernels_added"]),
        "host waits added, labels on the host / device": lambda row: (
            f"{row['waits_added']} / {row['waits_added_labels_on_device']}"
        ),
        "memory ratio": lambda row: f"{row['memory_ratio']:.2f}",
    }
    return markdown_table(columns, [[cell(row) for cell in columns.values()] for row in rows])


def growth_table(growth: Growth) -> str:
    """The ratio at each size in markdown, with the milliseconds of the augmented side."""
    rows = []
    for quantity, of_cases in growth.items():
        for name, line in of_cases.items():
            cells = (f"{row[quantity]:,}: {row['time_ratio']:.2f} ({row['augmented_ms']:.1f})" for row in line)
            rows.append([quantity, name, "; ".join(cells)])
    return markdown_table(["grows with", "piece", "ratio (ms) at each size"], rows)


def _name(row: Row) -> str:
    return str(row["piece"])
