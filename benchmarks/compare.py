"""``python -m benchmarks compare A B``: by how much is B better, and how sure is that?"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import Refusal
from .report.formatting import interval, number, p_value
from .report.names import loss_name, method_name
from .report.run_folder import PRIMARY, Run, read_run, read_runs
from .report.summary import Cell, Comparison
from .report.tuned_runs import value_at

SETUP = ("trunk", "protocol")  # config groups that decide under which conditions a loss and a method were tried


def main(argv: Sequence[str]) -> int:
    """Say it in one line.

    Raises:
        Refusal: A or B is no finished run and no folder of runs of one kind, or their set-ups differ.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks compare",
        description="How much better B is than A in test MAP@R, in one line. Both are run folders of one seed and fold "
        "(the interval then is over test classes), or both are folders of runs of one loss and method each, paired by "
        "seed and fold. What may differ is loss and method; another set-up is refused and named.",
    )
    parser.add_argument("a", type=Path, metavar="A", help="a run folder, or a folder of them")
    parser.add_argument("b", type=Path, metavar="B", help="what it is compared with")
    parser.add_argument(
        "--force",
        action="store_true",
        help="compare unlike set-ups too, and say in which they differ; never unlike data",
    )
    given = parser.parse_args(argv)
    print(compare(given.a, given.b, given.force))
    return 0


def compare(a: Path, b: Path, force: bool = False) -> str:
    """The line.

    Args:
        a, b: run folders, or folders of runs of one loss and method each.
        force: whether unlike set-ups are compared and named, instead of refused.

    Raises:
        Refusal: as :func:`main`.
    """
    sides = [_runs(path) for path in (a, b)]
    differences = _differences(*sides)
    if any(name == "data hash" for name, _ in differences) or (differences and not force):
        told = "; ".join(f"{name}: {values}" for name, values in differences)
        remedy = "" if any(name == "data hash" for name, _ in differences) else ". To compare all the same: --force"
        raise Refusal(f"{a} and {b} were not made alike, so their difference has other causes too. {told}{remedy}")
    pairs = [{run.pair for run in side} for side in sides]
    if pairs[0] != pairs[1]:
        only = ", ".join(f"seed {seed} fold {fold}" for seed, fold in sorted(pairs[0] ^ pairs[1]))
        raise Refusal(f"runs are compared in pairs of one seed and fold, but only one of {a} and {b} has {only}")
    line = _line(Comparison(method=Cell(tuple(sides[1])), bare=Cell(tuple(sides[0]))))
    return line + "".join(f" Set-ups differ in {name}: {values}." for name, values in differences)


def _runs(path: Path) -> list[Run]:
    """One finished run, or all in a folder, which must be of one kind."""
    single = (path / "config.yaml").exists() or (path / "result.json").exists()
    runs = [read_run(path)] if single else read_runs(path)
    kinds = sorted({f"{run.loss} with method {run.method} on {run.data}" for run in runs})
    if len(kinds) > 1:
        raise Refusal(
            f"{path} holds {len(kinds)} kinds of runs ({', '.join(kinds)}); give folders of one kind each, or "
            "`python -m benchmarks report` for all of them"
        )
    unscored = [run.path for run in runs if not run.selection]
    if unscored:
        raise Refusal(f"{unscored[0]} was never scored on the test set, so it has nothing to compare")
    repeated = len(runs) - len({run.pair for run in runs})
    if repeated:
        raise Refusal(f"{path} holds {repeated} runs of a seed and fold that another one has as well")
    return runs


def _differences(a: list[Run], b: list[Run]) -> list[tuple[str, str]]:
    """What the two set-ups do not share, with both values; also what differs among the runs of one side."""
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
    names = [_name(cell) for cell in (comparison.method, comparison.bare)]
    if names[0] == names[1]:
        names = ["B", f"A, both {names[1]}"]
    start = f"{names[0]} is {number(abs(effect.mean))} points of test MAP@R {direction} than {names[1]}"
    levels = " against ".join(number(cell.score(PRIMARY).mean) for cell in (comparison.method, comparison.bare))
    classes = f"95 % over test classes {interval(comparison.over_classes)}"
    if seeds == 1:
        folds = len(comparison.method.folds)
        covers = "one seed" if folds == 1 else f"one seed, {folds} folds"
        return (
            f"{start} ({levels}; {classes}). {covers.capitalize()}: the interval says what other test classes would "
            "give these two models, not what another seed would."
        )
    return (
        f"{start} ({levels}; 95 % over {seeds} seeds {interval(effect.interval)}; p = {p_value(comparison.p)} by the "
        f"sign-flip test, {p_value(comparison.smallest_p)} at best; {classes})."
    )


def _name(cell: Cell) -> str:
    return f"{loss_name(cell.loss)} {method_name(cell.method)}"
