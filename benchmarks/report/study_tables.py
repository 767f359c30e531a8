"""The tables of a report on the studies that its runs come from."""

from typing import Any

from .formatting import searched, setting
from .labels import loss_name, method_name
from .study import Study
from .table import LOSS, METHOD, NAMES, Cells, Column, Table, table_of


def about_study(study: Study) -> str:
    folds = f"fold{'s' if len(study.folds) > 1 else ''} {', '.join(map(str, study.folds))}"
    return (
        f"The parameters of these runs were tuned on {study.data} with protocol {study.protocol}, sampler "
        f"{study.sampler.replace('_', '-')}, seed {study.seed}. Objective: {study.objective.replace('_', ' ')}, "
        f"{folds}. No trial was scored on the test set. Baseline and methods have equal budgets; “tuned longer” is the "
        "baseline with the methods' extra budget."
    )


def about_curves(study: Study) -> str:
    curves = (
        "Expected validation MAP@R of the best of n trials, over all ways to draw n from the ledger. Trials are "
        "quasi-random; the declared values and, for methods, the best loss with augmentation off are among them."
        if study.sampler == "quasi_random"
        else "Validation MAP@R of the best trial so far, as the trials of this sampler depend on each other."
    )
    return (
        f"{curves} Pruned and failed trials count as the worst complete one. A curve that still rises at its end shows "
        "that the budget was too small."
    )


def searches(study: Study) -> Table:
    cells: Cells = [
        *NAMES,
        (Column("Trials", "of budget", kind="text"), lambda cell: f"{len(cell.trials)} of {cell.budget_trials}"),
        (Column("Pruned"), lambda cell: cell.count("pruned")),
        (Column("Failed"), lambda cell: cell.count("failed")),
        (Column("Images", "millions"), lambda cell: cell.images / 1e6),
        (Column("Hours"), lambda cell: cell.seconds / 3600),
        (Column("Best"), lambda cell: 100 * cell.best.score if cell.best else None),
        (Column("Trial", kind="text"), lambda cell: _trial(cell)),
        (
            Column("At the edge", kind="text"),
            lambda cell: ", ".join(cell.best.on_edge) or "none" if cell.best else None,
        ),
    ]
    caption = (
        f"Searches of study {study.name} on {study.data}. Best: validation MAP@R in points. At the edge: parameters "
        "whose best value is at an end of their range, so that a better one may lie outside."
    )
    return table_of(f"{study.name}-tuning", "", caption, cells, study.cells)


def _trial(cell: Any) -> str | None:
    if cell.best is None:
        return None
    return f"{cell.best.trial}{', augmentation off' if cell.best.augmentation_off else ''}"


def ranges(study: Study) -> Table:
    cells: Cells = [
        (LOSS, lambda of: loss_name(of[0].loss)),
        (METHOD, lambda of: method_name(of[0].method)),
        (Column("Parameter", kind="code"), lambda of: of[1]),
        (Column("Searched", kind="text"), lambda of: searched(of[0].space[of[1]])),
        (
            Column("Best", kind="text"),
            lambda of: setting(of[0].best.params[of[1]]) if of[0].best and of[1] in of[0].best.params else None,
        ),
    ]
    subjects = [(cell, key) for cell in study.cells for key in cell.space]
    title = "Ranges searched, and the values found"
    return table_of(f"{study.name}-ranges", "", f"{title}.", cells, subjects, paper=False, folded=title)
