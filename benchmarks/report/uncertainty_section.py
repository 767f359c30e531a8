"""The section of the report on what tells right answers from wrong ones."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from .labels import loss_name, method_name
from .summary import DataSummary, Summary
from .table import NAMES, Cells, Column, Row, Section, Table, table_of
from .uncertainty import SCORES, Assessment, Judged, sentence

ABOUT_FIGURES = (
    "Risk: share of wrong first neighbours among the queries that a score puts first; a line below the others at small "
    "coverage is a score that knows which answers are right. Reliability: how often the first neighbour is right, by "
    "the probability that the score gives it. Severity: mean of a score over the test queries, in standard deviations "
    "over the clean ones, as the queries are corrupted more and more."
)


def uncertainty_section(data: DataSummary, key: str, title: str) -> Section:
    """Every score by which a query's answer may be trusted, with the figures' text."""
    by_cell = [list(scores) for _, scores in groupby(data.uncertainty, key=lambda each: id(each.cell))]
    notes = [sentence(scores, f"{loss_name(scores[0].loss)}, {method_name(scores[0].method)}") for scores in by_cell]
    return Section(key, title, tuple(note for note in notes if note), (table(data),), ABOUT_FIGURES)


def table(data: DataSummary) -> Table:
    """One row per loss, method and score."""
    kinds = _kinds(data.uncertainty)

    def points(value: Callable[[Assessment], float | None]) -> Callable[[Judged], Any]:
        def scaled(found: Assessment) -> float | None:
            number = value(found)
            return None if number is None else 100 * number

        return lambda each: each.estimate(scaled)

    def correlation(kind: str) -> Callable[[Judged], Any]:
        return lambda each: each.correlation(kind)

    cells: Cells = [
        *NAMES,
        (Column("Score", kind="text"), lambda each: SCORES[each.score]),
        (Column("AURC", "lower is better", digits=1), points(lambda found: found.aurc)),
        (Column("AUROC", "wrong first neighbour", digits=1), points(lambda found: found.auroc)),
        (Column("Brier skill", "%", digits=1), points(lambda found: found.skill)),
        (Column("Calibration error", digits=1), points(lambda found: found.calibration)),
        *((Column(kind.capitalize(), "rank correlation"), correlation(kind)) for kind in kinds),
    ]
    caption = (
        f"Whether a model knows when its first neighbour on {data.data} is wrong, at the selected epoch: mean over "
        "seeds with its 95 % t-interval, in points. AURC: mean share of wrong first neighbours over all shares of the "
        "queries that are answered, the most certain first; a random score has the error rate. Brier skill and "
        "calibration error: of the probability of a match, by logistic regression on the queries of the other half of "
        "the test classes."
    )
    if kinds:
        caption += " Rank correlation: Spearman's, of the score with the level of a corruption, in each query."
    return table_of(f"{data.data}-uncertainty", "", caption, cells, data.uncertainty)


def _kinds(judged: Sequence[Judged]) -> list[str]:
    """The kinds of corruption that any run measured, in their order."""
    return list(dict.fromkeys(kind for each in judged for found in each.by_run.values() for kind in found.correlations))


def uncertainty_rows(summary: Summary) -> Table:
    """One row per run and score, for further work; fractions."""
    judged = [each for data in summary.data_sets for each in data.uncertainty]
    kinds = _kinds(judged)
    head = ("data", "loss", "method", "seed", "fold", "score", "aurc", "auroc", "brier_skill", "calibration_error")
    rows = tuple(
        Row(
            (
                each.cell.data, each.loss, each.method, *pair, each.score, found.aurc, found.auroc, found.skill,
                found.calibration, *(found.correlations.get(kind) for kind in kinds),
            )
        )
        for each in judged
        for pair, found in each.by_run.items()
    )  # fmt: skip
    return Table("uncertainty", "", "", tuple(map(Column, (*head, *(f"correlation_{kind}" for kind in kinds)))), rows)
