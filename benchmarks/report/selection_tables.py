"""The tables of how the choice of the epoch changes the scores."""

from collections.abc import Callable
from typing import Any

from .cells import Cell, Comparison, Estimate
from .formatting import span
from .labels import METRIC_NAMES, counted_epoch, rule_name
from .summary import DataSummary
from .table import NAMES, OF_COMPARISON, Cells, Column, Table, table_of


def about_selection(data: DataSummary) -> tuple[tuple[str, ...], tuple[Table, ...]]:
    """The note and the tables of the section."""
    epochs = (Column("Epochs", rule_name(data.rule)), lambda cell: span(*cell.epochs()))
    if len(data.rules) == 1:
        weights = "weights that validation chose" if data.rule == "validation" else "last weights"
        note = f"Only the {weights} were scored on the test set, so there are no oracles to compare with."
        table = table_of(
            f"{data.data}-epochs", "", "Epochs whose test scores count.", [*NAMES, epochs], data.cells, paper=False
        )
        return (note,), (table,)
    note = (
        f"The same runs under {len(data.rules)} selection rules. Only the first is fair; the others choose the rule or "
        "the epoch on the test set, and show how much that inflates the scores."
    )
    return (note,), (selection(data, epochs), *([rules(data)] if data.comparisons else []))


def selection(data: DataSummary, epochs: tuple[Column, Callable[[Any], Any]]) -> Table:
    """Each loss and method by every rule."""
    cells: Cells = [
        *NAMES,
        *((_of_rule(data, rule, digits=1), _score(data.task.primary, rule)) for rule in data.rules),
        *((Column("Inflation", rule_name(rule, data.rule), signed=True), _inflation(rule)) for rule in data.rules[1:]),
        epochs,
    ]
    caption = (
        f"Test {METRIC_NAMES[data.task.primary]} on {data.data} in points by selection rule, with 95 % t-intervals. "
        f"Inflation: difference to the score at the {counted_epoch(data.rule)}, paired by run."
    )
    return table_of(f"{data.data}-selection", "", caption, cells, data.cells)


def rules(data: DataSummary) -> Table:
    """Each comparison by every rule."""
    cells: list[tuple[Column, Callable[[Any], Any]]] = [
        *OF_COMPARISON,
        *((_of_rule(data, rule, signed=True), _difference(data.task.primary, rule)) for rule in data.rules),
    ]
    metric = METRIC_NAMES[data.task.primary]
    caption = f"Test {metric} on {data.data}, method minus baseline, in points, when both are scored by the rule."
    if "test" in data.rules:
        cells.append(
            (Column("Method alone best on test", "one-sided oracle", signed=True), lambda c: c.published_style)
        )
        baseline = "as validation chose it" if data.rule == "validation" else "at its last epoch"
        caption += (
            f" Last column, as many papers compare: the method at its best epoch on test, the baseline {baseline}."
        )
    title = "Effect of the selection rule on the comparison"
    return table_of(f"{data.data}-rules", title, caption, cells, data.comparisons, paper=False)


def _of_rule(data: DataSummary, rule: str, **more: Any) -> Column:
    name = rule_name(rule, data.rule)
    return Column(name[0].upper() + name[1:], "oracle" if data.cells[0].oracle(rule) else "fair", **more)


def _score(metric: str, rule: str | None = None) -> Callable[[Cell], Estimate]:
    return lambda cell: cell.score(metric, rule)


def _difference(metric: str, rule: str | None = None) -> Callable[[Comparison], Estimate]:
    return lambda comparison: comparison.difference(metric, rule)


def _inflation(rule: str) -> Callable[[Cell], Estimate]:
    return lambda cell: cell.inflation(rule)
