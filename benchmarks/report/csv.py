"""Tables for further work, as CSV: scores are fractions, differences are in points."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..runs.reader import Evaluated, Run
from ..runs.schema import CLUSTERED, in_order
from .cells import Comparison
from .summary import Summary
from .table import Column, Row, Table
from .verdicts import verdict

DIGITS = 9  # significant; the last digits of a double differ between processors and versions of scipy


def write_csv(table: Table) -> str:
    """The table with a head of keys; nothing where the value is missing, and nothing at all without rows."""
    if not table.rows:
        return ""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(column.title for column in table.columns)
    writer.writerows([_cell(value) for value in row.values] for row in table.rows)
    return buffer.getvalue()


def _cell(value: object) -> object:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else value


def results(summary: Summary) -> Table:
    """One row per run and selection rule, with the run's whole configuration."""
    flat = {run.name: dict(_flat(run.config)) for run in summary.all_runs}
    settings = sorted({key for settings in flat.values() for key in settings})
    cells: list[tuple[str, Callable[[tuple[Run, str]], Any]]] = [
        ("data", lambda of: of[0].data),
        ("loss", lambda of: of[0].loss),
        ("method", lambda of: of[0].method),
        ("fold", lambda of: of[0].fold),
        ("seed", lambda of: of[0].seed),
        ("selection", lambda of: of[1]),
        ("oracle", lambda of: of[0].selection[of[1]].oracle),
        ("epoch", lambda of: of[0].selection[of[1]].epoch),
        *((metric, _test_score(metric)) for metric in _measured(run.selected().test for run in summary.all_runs)),
        *((fact.replace(" ", "_"), _fact(fact)) for fact in summary.runs[0].facts),
        ("batch_size", lambda of: of[0].batch_size),
        ("seconds_per_step", lambda of: of[0].cost.seconds_per_step),
        ("images_per_second", lambda of: of[0].cost.images_per_second),
        ("peak_memory_bytes", lambda of: of[0].cost.peak_memory_bytes),
        ("device", lambda of: of[0].cost.device),
        ("steps", lambda of: of[0].activity and of[0].activity.steps),
        ("active_steps", lambda of: of[0].activity and of[0].activity.active_steps),
        ("synthetic_per_step", lambda of: of[0].activity and of[0].activity.synthetic_per_step),
        ("synthetic_share", lambda of: of[0].activity and of[0].activity.synthetic_share),
        ("study", lambda of: of[0].tuned and of[0].tuned.study),
        ("trial", lambda of: of[0].tuned and of[0].tuned.trial),
        ("test_scorings", lambda of: of[0].test_scorings),
        ("run", lambda of: of[0].name),
        *((f"config.{key}", _setting(flat, key)) for key in settings),
    ]
    return _keyed("results", cells, [(run, rule) for run in summary.all_runs for rule in run.selection])


def comparisons(summary: Summary) -> Table:
    """One row per comparison, selection rule and metric; tests only for the primary metric by the honest rule.

    A method is compared with its baseline and with its controls; these and all baselines with the raw features,
    which is not tested.
    """

    def tested(value: Callable[[Comparison], Any]) -> Callable[[Any], Any]:
        return primary(lambda c: value(c) if c.judged else None)

    def primary(value: Callable[[Comparison], Any]) -> Callable[[Any], Any]:
        def of_primary(of: tuple[Comparison, str, str]) -> Any:
            comparison, rule, metric = of
            counts = rule == comparison.method.rule and metric == comparison.metric and not comparison.baseline.is_raw
            return value(comparison) if counts else None

        return of_primary

    def unless_raw(value: Callable[[Comparison], Any]) -> Callable[[Any], Any]:
        return lambda of: None if of[0].baseline.is_raw else value(of[0])

    def low(interval: Any) -> Any:
        return interval and interval.low

    def high(interval: Any) -> Any:
        return interval and interval.high

    cells: list[tuple[str, Callable[[Any], Any]]] = [
        ("data", lambda of: of[0].method.data),
        ("loss", lambda of: of[0].method.loss),
        ("method", lambda of: of[0].method.method),
        ("against", lambda of: _against(of[0])),
        ("trunk", lambda of: of[0].method.runs[0].facts["trunk"]),
        ("protocol", lambda of: of[0].method.runs[0].facts["protocol"]),
        ("selection", lambda of: of[1]),
        ("metric", lambda of: of[2]),
        ("verdict", primary(verdict)),
        ("seeds", lambda of: of[0].num_seeds),
        ("folds", lambda of: len(of[0].method.folds)),
        ("difference_points", lambda of: of[0].difference(of[2], of[1]).mean),
        ("t_low", lambda of: low(of[0].difference(of[2], of[1]).interval)),
        ("t_high", lambda of: high(of[0].difference(of[2], of[1]).interval)),
        ("bootstrap_low", primary(lambda c: low(c.bootstrap))),
        ("bootstrap_high", primary(lambda c: high(c.bootstrap))),
        ("classes_low", primary(lambda c: low(c.over_classes))),
        ("classes_high", primary(lambda c: high(c.over_classes))),
        ("p", tested(lambda c: c.p)),
        ("holm_p", tested(lambda c: c.holm_p)),
        ("smallest_p", unless_raw(lambda c: c.smallest_p)),
        ("smallest_holm_p", unless_raw(lambda c: c.smallest_holm_p)),
        ("detectable_points", tested(lambda c: c.detectable)),
        ("margin_points", primary(lambda c: c.margin)),
        ("equivalence_p", tested(lambda c: c.equivalence_p)),
        ("holm_equivalence_p", tested(lambda c: c.holm_equivalence_p)),
        ("fold_level_p", tested(lambda c: c.fold_level and c.fold_level.p)),
    ]
    above = [c for data in summary.data_sets for raw in data.raw for c in data.above(raw)]
    compared = [*summary.comparisons, *summary.attributions, *summary.mixtures, *above]
    subjects = [(c, rule, metric) for c in compared for rule in c.rules for metric in c.metrics]
    return _keyed("comparisons", cells, subjects)


def _against(comparison: Comparison) -> str:
    """The method of the other side; of raw features, and of training without mixtures, the name in the loss's place."""
    other = comparison.baseline
    return other.loss if other.is_raw or other.loss != comparison.method.loss else other.method


def curves(summary: Summary) -> Table:
    """One row per run and evaluation."""
    measured = _measured(run.selected().test for run in summary.runs)
    cells: list[tuple[str, Callable[[Any], Any]]] = [
        ("run", lambda of: of[0].name),
        ("data", lambda of: of[0].data),
        ("loss", lambda of: of[0].loss),
        ("method", lambda of: of[0].method),
        ("fold", lambda of: of[0].fold),
        ("seed", lambda of: of[0].seed),
        ("epoch", lambda of: of[1].epoch),
        ("iterations", lambda of: of[1].iterations),
        ("training_loss", lambda of: of[1].loss),
        *((f"validation_{metric}", _evaluated("val", metric)) for metric in measured if metric not in CLUSTERED),
        *((f"test_{metric}", _evaluated("test", metric)) for metric in measured),
    ]
    return _keyed("curves", cells, [(run, evaluated) for run in summary.runs for evaluated in run.history])


def _keyed(key: str, cells: Sequence[tuple[str, Callable[[Any], Any]]], subjects: Iterable[Any]) -> Table:
    rows = tuple(Row(tuple(value(subject) for _, value in cells)) for subject in subjects)
    return Table(key, "", "", tuple(Column(name) for name, _ in cells), rows)


def _measured(scores: Iterable[Mapping[str, float]]) -> list[str]:
    """The metrics that any of them has."""
    return in_order(name for found in scores for name in found)


def _test_score(metric: str) -> Callable[[tuple[Run, str]], float | None]:
    return lambda of: of[0].selection[of[1]].test.get(metric)


def _fact(name: str) -> Callable[[tuple[Run, str]], Any]:
    return lambda of: of[0].facts[name]


def _setting(flat: dict[str, dict[str, Any]], key: str) -> Callable[[tuple[Run, str]], Any]:
    return lambda of: flat[of[0].name].get(key)


def _evaluated(split: str, metric: str) -> Callable[[tuple[Run, Evaluated]], float | None]:
    def score(of: tuple[Run, Evaluated]) -> float | None:
        scores = getattr(of[1], split)
        return None if scores is None else scores.get(metric)

    return score


def _flat(value: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, value
