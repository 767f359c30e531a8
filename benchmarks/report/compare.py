"""Comparison of two runs, or of two directories of runs, in one line."""

from pathlib import Path
from typing import Any

from ..errors import UserError
from ..runs.reader import Run, is_run, read_run, read_runs
from .cells import Cell, Comparison
from .formatting import interval, number, p_sentence, p_value
from .labels import METRIC_NAMES, loss_name, method_name
from .tuned_runs import value_at
from .verdicts import withheld

SETUP = ("trunk", "protocol")  # config groups that decide under which conditions a loss and a method were tried


def compare(a: Path, b: Path, force: bool = False) -> str:
    """The line.

    Args:
        a, b: run directories, or directories of runs of one loss and method each.
        force: whether differing set-ups are compared and named, instead of refused.

    Raises:
        UserError: a or b is no finished run and no directory of runs of one kind, or their set-ups differ.
    """
    sides = [_runs(path) for path in (a, b)]
    differences = _differences(*sides)
    other_data = any(name == "data hash" for name, _ in differences)
    if other_data or (differences and not force):
        named = "; ".join(f"{name}: {values}" for name, values in differences)
        remedy = "" if other_data else ". To compare them nevertheless: --force"
        raise UserError(f"{a} and {b} differ in more than loss and method. {named}{remedy}")
    pairs = [{run.pair for run in side} for side in sides]
    if pairs[0] != pairs[1]:
        only = ", ".join(f"seed {seed} fold {fold}" for seed, fold in sorted(pairs[0] ^ pairs[1]))
        raise UserError(f"runs are paired by seed and fold, but only one of {a} and {b} has {only}")
    line = _line(Comparison(method=Cell(tuple(sides[1])), baseline=Cell(tuple(sides[0]))))
    return line + "".join(f" Set-ups differ in {name}: {values}." for name, values in differences)


def _runs(path: Path) -> list[Run]:
    """One finished run, or all in a directory, which must be of one kind."""
    runs = [read_run(path)] if is_run(path) else read_runs(path)
    kinds = sorted({f"{run.loss} with method {run.method} on {run.data}" for run in runs})
    if len(kinds) > 1:
        raise UserError(
            f"{path} holds {len(kinds)} kinds of runs ({', '.join(kinds)}); give directories of one kind each, or "
            "`pml-aug report` for all of them"
        )
    unscored = [run.path for run in runs if not run.selection]
    if unscored:
        raise UserError(f"{unscored[0]} was never scored on the test set, so there is nothing to compare")
    repeated = len(runs) - len({run.pair for run in runs})
    if repeated:
        raise UserError(f"{path} holds {repeated} runs whose seed and fold another run has too")
    return runs


def _differences(a: list[Run], b: list[Run]) -> list[tuple[str, str]]:
    """The set-ups' differences, with both values; also those among the runs of one side."""
    found = []
    runs = [*a, *b]
    for fact in runs[0].facts:
        values = [{str(run.facts[fact]) for run in side} for side in (a, b)]
        folds = len({run.fold for run in runs}) > 1 and fact == "images seen"  # folds may have longer epochs
        if values[0] != values[1] or (len(values[0]) > 1 and not folds):
            found.append((fact, _versus(*values)))
    named = {"trunk", "protocol"} & {fact for fact, _ in found}
    keys = sorted({key for run in runs for group in SETUP for key in _leaves(run.config.get(group), group)})
    for key in keys:
        values = [{str(value_at(run.config, key)) for run in side} for side in (a, b)]
        if key.split(".")[0] not in named and len(values[0] | values[1]) > 1:
            found.append((key, _versus(*values)))
    return found


def _leaves(value: Any, prefix: str) -> list[str]:
    if not isinstance(value, dict):
        return [prefix]
    return [leaf for key, inner in value.items() for leaf in _leaves(inner, f"{prefix}.{key}")]


def _versus(a: set[str], b: set[str]) -> str:
    return " against ".join(" / ".join(sorted(values)) for values in (a, b))


def _line(comparison: Comparison) -> str:
    effect, seeds = comparison.primary, comparison.num_seeds
    direction = "higher" if effect.mean > 0 else "lower" if effect.mean < 0 else "different"
    names = [_name(cell) for cell in (comparison.method, comparison.baseline)]
    if names[0] == names[1]:
        names = ["B", f"A, both {names[1]}"]
    if not comparison.judged:
        return f"{names[0]} against {names[1]}: {withheld(comparison)}"
    metric = METRIC_NAMES[comparison.metric]
    start = f"{names[0]} is {number(abs(effect.mean))} points of test {metric} {direction} than {names[1]}"
    both = (comparison.method, comparison.baseline)
    levels = " against ".join(number(cell.score(comparison.metric).mean) for cell in both)
    classes = f"95 % over test classes {interval(comparison.over_classes)}"
    if seeds == 1:
        folds = len(comparison.method.folds)
        covers = "one seed" if folds == 1 else f"one seed, {folds} folds"
        return (
            f"{start} ({levels}; {classes}). {covers.capitalize()}: the interval covers the choice of test classes "
            "for these two models, not the choice of seed."
        )
    return (
        f"{start} ({levels}; 95 % over {seeds} seeds {interval(effect.interval)}; {p_sentence(comparison.p)} by the "
        f"sign-flip test, smallest attainable {p_value(comparison.smallest_p)}; {classes})."
    )


def _name(cell: Cell) -> str:
    return f"{loss_name(cell.loss)} {method_name(cell.method)}"
