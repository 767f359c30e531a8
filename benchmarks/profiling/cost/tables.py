"""The costs as tables: each piece at its own size, and how its ratio grows with one quantity at a time."""

from collections.abc import Mapping, Sequence
from itertools import groupby

Row = Mapping[str, float | int | str]
Growth = Mapping[str, Mapping[str, Sequence[Row]]]  # quantity -> piece -> rows, in the order of the quantity

QUANTITIES = ("batch", "classes", "dimension")
HEADS = (
    "piece",
    "baseline ms",
    "with ms",
    "ratio",
    "goal",
    "the loss alone, enlarged",
    "kernels added",
    "host waits added, labels on the host / there",
    "memory ratio",
)


def at_own_size(rows: Sequence[Row]) -> list[Row]:
    """The first row of each piece."""
    return [next(of_piece) for _, of_piece in groupby(rows, key=_piece)]


def growth_of(rows: Sequence[Row]) -> Growth:
    """For each quantity and piece the rows in which no other quantity differs from the piece's first row."""
    growth: dict[str, dict[str, Sequence[Row]]] = {}
    for name, of_piece in groupby(rows, key=_piece):
        own, *others = of_piece
        for quantity in QUANTITIES:
            line = [row for row in others if all(row[other] == own[other] for other in QUANTITIES if other != quantity)]
            if line:
                growth.setdefault(quantity, {})[name] = sorted([own, *line], key=lambda row: float(row[quantity]))
    return {quantity: growth[quantity] for quantity in QUANTITIES if quantity in growth}


def table(rows: Sequence[Row]) -> str:
    """The rows in markdown, goals beside what was measured."""
    lines = [f"| {' | '.join(HEADS)} |", "| " + " | ".join("---" for _ in HEADS) + " |"]
    for row in rows:
        alone = f"{row['enlarged_ratio']:.2f}" if row["enlarged_ratio"] else "-"
        lines.append(
            f"| {row['piece']} | {row['baseline_ms']:.2f} | {row['augmented_ms']:.2f} | {row['time_ratio']:.2f} | "
            f"{row['goal']:.2f} | {alone} | {row['kernels_added']} | "
            f"{row['waits_added']} / {row['waits_added_labels_there']} | {row['memory_ratio']:.2f} |"
        )
    return "\n".join(lines)


def growth_table(growth: Growth) -> str:
    """The ratio at each size in markdown, with the milliseconds that the piece takes."""
    lines = ["| grows with | piece | ratio (ms) at each size |", "| --- | --- | --- |"]
    for quantity, of_pieces in growth.items():
        for name, line in of_pieces.items():
            cells = (f"{row[quantity]:,}: {row['time_ratio']:.2f} ({row['augmented_ms']:.1f})" for row in line)
            lines.append(f"| {quantity} | {name} | {'; '.join(cells)} |")
    return "\n".join(lines)


def _piece(row: Row) -> str:
    return str(row["piece"])
