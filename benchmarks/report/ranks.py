"""Which combination of loss and method ranks where over the report's data sets."""

from typing import NamedTuple

from benchmarks import statistics
from benchmarks.report.summary import Cell, Summary
from benchmarks.runs.schema import PRIMARY
from benchmarks.statistics import Interval


class Ranked(NamedTuple):
    loss: str
    method: str
    by_data: tuple[float, ...]  # its rank on each data set
    mean: float
    interval: Interval | None


class Ranks(NamedTuple):
    data: tuple[str, ...]
    rows: tuple[Ranked, ...]  # best mean rank first
    friedman_p: float | None
    critical_difference: float | None


def ranks(summary: Summary) -> Ranks | None:
    """Ranks by test MAP@R among the cells that every data set has; None with one data set or one such cell.

    Scores are those of the seeds that all these cells have, so that a resample draws the same ones for each.
    """
    tables = [{(cell.loss, cell.method): cell for cell in table.cells} for table in summary.tables]
    common = sorted(set.intersection(*(set(table) for table in tables)))
    if len(tables) < 2 or len(common) < 2:
        return None
    scores = [_scores([table[name] for name in common]) for table in tables]
    result = statistics.ranking(scores)
    alone = [statistics.ranking([table], resamples=1).mean_ranks for table in scores]
    rows = [
        Ranked(*name, tuple(ranks[i] for ranks in alone), result.mean_ranks[i], result.intervals[i])
        for i, name in enumerate(common)
    ]
    rows.sort(key=lambda row: row.mean)
    return Ranks(
        tuple(table.data for table in summary.tables), tuple(rows), result.friedman_p, result.critical_difference
    )


def _scores(cells: list[Cell]) -> list[list[float]]:
    """One row a cell: its score for each seed that all of them have; their means where they share none."""
    shared = sorted(set.intersection(*(set(cell.seeds) for cell in cells)))
    by_seed = [dict(zip(cell.seeds, cell.score(PRIMARY).per_seed, strict=True)) for cell in cells]
    if not shared:
        return [[cell.score(PRIMARY).mean] for cell in cells]
    return [[scores[seed] for seed in shared] for scores in by_seed]
