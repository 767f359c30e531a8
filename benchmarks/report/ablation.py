"""What each part of a method adds, and what it costs: the method beside its baseline and its controls."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError
from ..runs.reader import read_runs
from ..runs.schema import PRIMARY
from ..runs.writer import write_whole
from .cells import Cell, Comparison, Estimate
from .csv import write_csv
from .formatting import formatted
from .labels import METRIC_NAMES, loss_name, method_name
from .summary import DataSummary, summarize
from .table import Column, Row, Table, percent


class Part(NamedTuple):
    """A row: the method, or what it is compared with."""

    cell: Cell
    lacks: str  # of the method
    against: Comparison | None  # the method against this; None: it is the method
    slowdown: Estimate | None  # step time over the baseline's; None: it is the baseline


def write_ablation(runs: Path, out: Path, method: str) -> Iterator[str]:
    """Write ablation.md and ablation.csv; what they hold as text for a terminal, then their paths.

    Args:
        runs: the directory of the run directories, on which the report has been written.
        out: an existing directory.
        method: whose controls are shown, as configs spell it.

    Raises:
        UserError: no run of the method with a control, or a run that is unfinished or damaged.
    """
    summary = summarize(run for run in read_runs(runs) if run.selection)
    parts = {data.data: list(_parts(data, method)) for data in summary.data_sets}
    if not any(parts.values()):
        raise UserError(f"{runs} holds no run of {method} beside a run of one of its controls")
    tables = [_table(data, found, method) for data, found in parts.items() if found]
    yield from map(aligned, tables)
    keyed = _keyed([part for found in parts.values() for part in found])
    files = {
        "ablation.md": "\n".join(f"# {table.title}\n\n{table.caption}\n\n{aligned(table)}" for table in tables),
        "ablation.csv": write_csv(keyed),
    }
    for name, content in files.items():
        write_whole(out / name, content.encode())
        yield str(out / name)


def _parts(data: DataSummary, method: str) -> Iterator[Part]:
    against_baseline = {(c.method.loss, c.method.method): c for c in data.comparisons}
    for loss in dict.fromkeys(cell.loss for cell in data.cells):
        controls = [c for c in data.attributions if (c.method.loss, c.method.method) == (loss, method)]
        plain = against_baseline.get((loss, method))
        if plain is None or not controls:
            continue
        yield Part(plain.baseline, "all of it", plain, None)
        for control in controls:
            its_own = against_baseline[loss, control.baseline.method]
            yield Part(control.baseline, control.lacks or "", control, its_own.slowdown)
        yield Part(plain.method, "", None, plain.slowdown)


def _table(data: str, parts: Sequence[Part], method: str) -> Table:
    name = method_name(method)
    cells: list[tuple[Column, Callable[[Part], Any]]] = [
        (Column("Loss", kind="text"), lambda part: loss_name(part.cell.loss)),
        (Column("Method", kind="text"), lambda part: method_name(part.cell.method)),
        (Column(f"Lacks of {name}", kind="text"), lambda part: part.lacks or None),
        (Column(METRIC_NAMES[PRIMARY], digits=1), lambda part: part.cell.score(PRIMARY).mean),
        (Column(f"{name} adds", signed=True), lambda part: part.against and part.against.primary),
        (Column("p", "Holm", kind="p"), lambda part: part.against and part.against.holm_p),
        (Column("Step", "ms", digits=1), lambda part: part.cell.milliseconds_per_step.mean),
        (Column("Step time", "× baseline"), lambda part: part.slowdown and part.slowdown.mean),
        (Column("Synthetic", "per step", digits=1), lambda part: part.cell.synthetic_per_step),
        (Column("Chosen", "% synthetic", digits=1), lambda part: percent(part.cell.synthetic_share)),
    ]
    caption = (
        f"Test MAP@R on {data} in points, and what {name} adds to each, paired by seed and fold, with its 95 % "
        "t-interval. Holm's correction is that of the report: one family of methods against their baselines, one of "
        "methods against their controls. Chosen: share of the distances between classes that a synthetic point "
        "determined, where the method chooses between points and rows."
    )
    rows = tuple(Row(tuple(value(part) for _, value in cells), part.cell.method) for part in parts)
    return Table(f"{data}-ablation", f"What {name} adds on {data}", caption, tuple(head for head, _ in cells), rows)


def _keyed(parts: Sequence[Part]) -> Table:
    """For further work: the method's difference to each part with its interval."""
    cells: list[tuple[str, Callable[[Part], Any]]] = [
        ("data", lambda part: part.cell.data),
        ("loss", lambda part: part.cell.loss),
        ("method", lambda part: part.cell.method),
        ("lacks", lambda part: part.lacks),
        ("seeds", lambda part: len(part.cell.seeds)),
        ("folds", lambda part: len(part.cell.folds)),
        (PRIMARY, lambda part: part.cell.score(PRIMARY).mean / 100),
        ("method_adds_points", lambda part: part.against and part.against.primary.mean),
        ("t_low", lambda part: part.against and part.against.primary.interval and part.against.primary.interval.low),
        ("t_high", lambda part: part.against and part.against.primary.interval and part.against.primary.interval.high),
        ("p", lambda part: part.against and part.against.p),
        ("holm_p", lambda part: part.against and part.against.holm_p),
        ("milliseconds_per_step", lambda part: part.cell.milliseconds_per_step.mean),
        ("step_time_of_baseline", lambda part: part.slowdown and part.slowdown.mean),
        ("synthetic_per_step", lambda part: part.cell.synthetic_per_step),
        ("synthetic_share", lambda part: part.cell.synthetic_share),
    ]
    rows = tuple(Row(tuple(value(part) for _, value in cells)) for part in parts)
    return Table("ablation", "", "", tuple(Column(name) for name, _ in cells), rows)


def aligned(table: Table) -> str:
    """The table in Markdown, with columns of equal width for a terminal.

    Example:
        >>> heads = (Column("Loss", kind="text"), Column("Step", "ms"))
        >>> print(aligned(Table("", "", "", heads, (Row(("Triplet", 1.5)), Row(("NCA", None))))), end="")
        | Loss    | Step, ms |
        | ------- | -------: |
        | Triplet |     1.50 |
        | NCA     |        – |
    """
    texts = [[f"{each.title}, {each.note}" if each.note else each.title for each in table.columns]]
    for row in table.rows:
        found = [formatted(value, column) for value, column in zip(row.values, table.columns, strict=True)]
        texts.append([f"{each.text} [{each.interval}]" if each.interval else each.text for each in found])
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    to_left = [column.kind in ("text", "code") for column in table.columns]
    lines = [
        [
            f"{text:<{width}}" if left else f"{text:>{width}}"
            for text, width, left in zip(row, widths, to_left, strict=True)
        ]
        for row in texts
    ]
    rule = ["-" * width if left else f"{'-' * (width - 1)}:" for width, left in zip(widths, to_left, strict=True)]
    return "".join(f"| {' | '.join(line)} |\n" for line in (lines[0], rule, *lines[1:]))
