"""Scores of single test queries, paired between a method and its baseline."""

from collections.abc import Sequence

import numpy as np

from ..errors import UserError
from ..runs.arrays import read_arrays
from ..runs.checked_json import damaged
from ..runs.reader import Run
from ..runs.schema import QUERIES, RESULT

ROUNDING = 1e-4  # between the mean of the queries' scores, in float64, and the score that PML reports


def mean_difference_by_query(
    method: Sequence[Run], baseline: Sequence[Run], metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """Labels (Q,) and differences (Q,), method minus baseline, averaged over the pairs of runs of one seed and fold.

    Raises:
        UserError: scores that cannot be read, that do not average to the run's own, or are of different queries.
    """
    baseline_runs = {run.pair: run for run in baseline}
    total, labels = None, None
    for run in method:
        other = baseline_runs[run.pair]
        (own_labels, own), (other_labels, others) = query_scores(run, metric), query_scores(other, metric)
        labels = own_labels if labels is None else labels
        if not np.array_equal(own_labels, labels) or not np.array_equal(other_labels, labels):
            raise UserError(f"the queries of {run.path} and {other.path} are not the same test images")
        total = own - others if total is None else total + own - others
    assert total is not None and labels is not None
    return labels, total / len(method)


def query_scores(run: Run, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores of a run's test queries, at the epoch of the honest rule.

    Raises:
        UserError: they cannot be read, or do not average to the run's own score.
    """
    arrays = read_arrays(run.path, QUERIES, ("labels", metric))
    labels, scores = arrays["labels"], arrays[metric]
    if scores.ndim != 1 or labels.shape != scores.shape or scores.dtype.kind != "f" or labels.dtype.kind not in "iu":
        raise damaged(run.path / QUERIES, f"labels and {metric} are not one number each per query")
    counted = np.isfinite(scores)  # a query alone in its class has no score, and PML leaves it out
    labels, scores = labels[counted], scores[counted]
    if not len(scores) or abs(scores.mean() - run.selected().test[metric]) > ROUNDING:
        raise damaged(run.path / QUERIES, f"the mean {metric} of the queries is not the one in {RESULT}")
    return labels, scores
