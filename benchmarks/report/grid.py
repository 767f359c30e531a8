"""The picture that a report starts with: losses against methods, each difference with its interval and verdict."""

from typing import NamedTuple

from .cells import Cell, Comparison
from .formatting import interval, number
from .labels import FEATURES, loss_name, method_name
from .summary import DataSummary
from .verdicts import verdict

SHAPES = {
    "established gain": "▲",
    "established loss": "▼",
    "nominally better": "△",
    "nominally worse": "▽",
    "equivalent": "=",
    "not established": "·",
    "underpowered": "?",
    "no verdict": "×",
}
WEAKEST, STRONGEST = 8, 45  # percent of the colour, of a difference of 0 and of the largest one
MOST_ACROSS = 7  # methods; with more of them than this and than losses, they go down the page


class GridCell(NamedTuple):
    shape: str
    verdict: str
    difference: str
    interval: str
    tone: str  # "good", "bad", or "" where the difference is no evidence
    strength: int  # percent of the colour


class GridRow(NamedTuple):
    loss: str
    baseline: str
    cells: tuple[GridCell | None, ...]  # None: not compared


class Grid(NamedTuple):
    """One data set."""

    data: str
    methods: tuple[str, ...]
    rows: tuple[GridRow, ...]
    features: str  # the score of its raw or standardised features in words; "" without
    legend: tuple[tuple[str, str], ...]  # shapes that occur, and their verdicts

    @property
    def methods_go_down(self) -> bool:
        """Whether methods are the rows of the table, and losses its columns."""
        return len(self.methods) > max(MOST_ACROSS, len(self.rows))


def grid(data: DataSummary) -> Grid:
    """Losses in the order of the tables, methods in the order in which the losses name them."""
    methods = list(dict.fromkeys(comparison.method.method for comparison in data.comparisons))
    baselines = {comparison.method.loss: comparison.baseline for comparison in data.comparisons}
    found = {(c.method.loss, c.method.method): c for c in data.comparisons}
    largest = max((abs(c.primary.mean) for c in data.comparisons), default=0.0)
    rows = tuple(
        GridRow(
            loss_name(loss),
            number(baseline.score(data.task.primary).mean, 1),
            tuple(_cell(found[loss, method], largest) if (loss, method) in found else None for method in methods),
        )
        for loss, baseline in baselines.items()
    )
    shown = {cell.verdict for row in rows for cell in row.cells if cell}
    return Grid(
        data.data,
        tuple(map(method_name, methods)),
        rows,
        _features(data.raw),
        tuple((shape, name) for name, shape in SHAPES.items() if name in shown),
    )


def _cell(comparison: Comparison, largest: float) -> GridCell:
    effect, judged = comparison.primary, verdict(comparison)
    share = abs(effect.mean) / largest if largest else 0.0
    evidence = judged not in ("underpowered", "no verdict")
    return GridCell(
        SHAPES[judged],
        judged,
        number(effect.mean, signed=True),
        interval(effect.interval) if effect.interval else "",
        ("good" if effect.mean > 0 else "bad") if evidence else "",
        round(WEAKEST + (STRONGEST - WEAKEST) * share),
    )


def _features(raw: tuple[Cell, ...]) -> str:
    return ", ".join(f"{FEATURES[cell.loss]} {number(cell.score(cell.task.primary).mean, 1)}" for cell in raw)
