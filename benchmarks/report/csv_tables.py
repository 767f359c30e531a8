"""The report's numbers to 12 digits, for further work. Scores are shares, 0 to 1; differences in points."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.report.summary import Comparison, Summary
from benchmarks.runs.reader import Run
from benchmarks.runs.schema import METRICS, PRIMARY


def results_csv(summary: Summary) -> str:
    """One row a run and selection rule."""
    return _csv(_result(run, rule) for run in summary.runs for rule in run.selection)


def comparisons_csv(summary: Summary) -> str:
    """One row a comparison, selection rule and metric; p-values only for the primary metric."""
    return _csv(
        _comparison(comparison, rule, metric)
        for comparison in summary.comparisons
        for rule in comparison.rules
        for metric in METRICS
    )


def _result(run: Run, rule: str) -> dict[str, Any]:
    selected = run.selection[rule]
    return {
        "data": run.data,
        "loss": run.loss,
        "method": run.method,
        "fold": run.fold,
        "seed": run.seed,
        "selection": rule,
        "oracle": selected.oracle,
        "epoch": selected.epoch,
        **{metric: selected.test[metric] for metric in METRICS},
        "seconds_per_step": run.cost.seconds_per_step,
        "images_per_second": run.cost.images_per_second,
        "peak_memory_bytes": run.cost.peak_memory_bytes,
        "device": run.cost.device,
        "study": run.tuned.study if run.tuned else None,
        "trial": run.tuned.trial if run.tuned else None,
        "test_scorings": run.test_scorings,
        "run": run.name,
    }


def _comparison(comparison: Comparison, rule: str, metric: str) -> dict[str, Any]:
    difference = comparison.difference(metric, rule)
    primary = rule == comparison.method.rule and metric == PRIMARY
    classes = comparison.over_classes if primary else None
    folds = comparison.fold_level if primary else None
    return {
        "data": comparison.method.data,
        "loss": comparison.method.loss,
        "method": comparison.method.method,
        "selection": rule,
        "metric": metric,
        "seeds": comparison.num_seeds,
        "folds": len(comparison.method.folds),
        "difference_points": difference.mean,
        "t_low": difference.interval.low if difference.interval else None,
        "t_high": difference.interval.high if difference.interval else None,
        "bootstrap_low": comparison.bootstrap.low if primary and comparison.bootstrap else None,
        "bootstrap_high": comparison.bootstrap.high if primary and comparison.bootstrap else None,
        "classes_low": classes.low if classes else None,
        "classes_high": classes.high if classes else None,
        "p": comparison.p if primary else None,
        "holm_p": comparison.holm_p if primary else None,
        "smallest_p": comparison.smallest_p,
        "smallest_holm_p": comparison.smallest_holm_p,
        "detectable_points": comparison.detectable if primary else None,
        "margin_points": comparison.margin if primary else None,
        "equivalence_p": comparison.equivalence_p if primary else None,
        "holm_equivalence_p": comparison.holm_equivalence_p if primary else None,
        "fold_level_p": folds.p if folds else None,
    }


def _csv(rows: Iterable[Mapping[str, Any]]) -> str:
    rows = list(rows)
    if not rows:
        return ""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:  # what comes after the 12th digit differs between processors
        writer.writerow({k: f"{v:.12g}" if isinstance(v, float) else v for k, v in row.items()})
    return buffer.getvalue()
