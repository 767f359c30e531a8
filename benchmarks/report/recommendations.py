"""Recommendations that would strengthen the evidence, derived from the runs."""

from collections.abc import Iterator

from .. import statistics
from ..runs.schema import EXTENDED_BASELINE, RETRIEVAL
from .cells import Comparison
from .labels import loss_name, method_name
from .summary import Summary
from .verdicts import ALPHA, verdict

OPEN = ("not established", "nominally better", "nominally worse", "underpowered")  # verdicts that more seeds may change


def recommendations(summary: Summary) -> list[str]:
    """One sentence each, the most useful first."""
    if not summary.comparisons:
        return ["Run a method beside the baselines."]
    kinds = (_seeds, _tuning, _folds, _data, _training, _care)
    return [sentence for kind in kinds for sentence in kind(summary)]


def _seeds(summary: Summary) -> Iterator[str]:
    comparisons = summary.comparisons
    needed = statistics.seeds_to_reach(ALPHA, len(comparisons))
    fewest = min(comparison.num_seeds for comparison in comparisons)
    if fewest < needed:
        yield f"More seeds: {needed} instead of {fewest} are the fewest with which anything can be established here."
    open_ones = [
        c
        for c in comparisons
        if verdict(c) in ("not established", "nominally better", "nominally worse", "underpowered")
    ]
    wanted = [(seeds, c) for c in open_ones if (seeds := _for_margin(c)) is not None and seeds > c.num_seeds]
    wanted.sort(key=lambda pair: pair[0])
    if wanted:
        fewest, most = wanted[0][0], wanted[-1][0]
        takes = f"with the spread observed, a true difference of {summary.margin:g} points takes"
        several = f"{fewest} to {most} of them, most for {_name(wanted[-1][1])}"
        yield f"More seeds for what is open: {takes} {several if fewest < most else most}."


def _for_margin(comparison: Comparison) -> int | None:
    return statistics.seeds_to_detect(comparison.primary.per_seed, comparison.margin, comparison.family)


def _name(comparison: Comparison) -> str:
    return f"{loss_name(comparison.method.loss)} {method_name(comparison.method.method)} on {comparison.method.data}"


def _tuning(summary: Summary) -> Iterator[str]:
    untuned = sorted(
        {f"{loss_name(run.loss)} on {run.data}" for run in summary.runs if run.tuned is None and run.curve}
    )
    if untuned:
        yield (
            f"Equal tuning: {', '.join(untuned)} ran with the values in the configs, which may favour one side; "
            "`pml-aug tune` gives baseline and methods the same budget."
        )
    for study in summary.studies:
        for cell in study.cells:
            if cell.best and cell.best.on_edge:
                yield (
                    f"A wider search for {loss_name(cell.loss)} {method_name(cell.method)}: its optimum is at the "
                    f"edge of {', '.join(cell.best.on_edge)}."
                )
        lacking = [loss for loss in study.losses() if EXTENDED_BASELINE not in {cell.method for cell in study.of(loss)}]
        if lacking:
            yield f"A row of the baseline with the methods' extra budget for {', '.join(map(loss_name, lacking))}."


def _folds(summary: Summary) -> Iterator[str]:
    if summary.task is not RETRIEVAL:
        return
    without = [table.data for table in summary.data_sets if table.rule == "last"]
    if without:
        yield (
            f"A validation fold on {', '.join(without)} (`protocol.num_folds=4`): it could choose the epoch, and "
            "settings by equal tuning, without the test set."
        )
    folds = {len(cell.folds) for table in summary.data_sets if table.data not in without for cell in table.cells}
    if folds == {1}:
        yield "The other folds: one shows nothing about other training classes."


def _data(summary: Summary) -> Iterator[str]:
    wider = [
        comparison
        for comparison in summary.comparisons
        if comparison.over_classes and comparison.primary.interval
        and _width(comparison.over_classes) > _width(comparison.primary.interval)
    ]  # fmt: skip
    if wider:
        yield (
            f"More test classes: in {len(wider)} of {len(summary.comparisons)} comparisons the interval over test "
            "classes is wider than the one over seeds."
        )
    if len(summary.data_sets) == 1:
        yield "Other data sets: results on one need not hold on another."


def _training(summary: Summary) -> Iterator[str]:
    rising = [run for run in summary.runs if run.curve and run.selected().epoch == max(run.curve)]
    if 2 * len(rising) > len(summary.runs):
        yield (
            f"Longer training: in {len(rising)} of {len(summary.runs)} runs validation chose the last epoch, so the "
            "budget also ranks speed of convergence."
        )


def _care(summary: Summary) -> Iterator[str]:
    if summary.task is RETRIEVAL and any(run.audit is None for run in summary.runs):
        yield "A leakage audit of all runs: some have none."
    most = max(run.test_scorings or 0 for run in summary.runs)
    if most > 1:
        yield (
            f"Test scores once per run (`protocol.test_scoring=once`): the test set was scored up to {most} times in a "
            "run, which no selection here used, but which invites it."
        )
    if any(run.environment.get("dirty") for run in summary.runs):
        yield "Committed code: some runs were made with uncommitted changes."


def _width(interval: statistics.Interval) -> float:
    return interval.high - interval.low
