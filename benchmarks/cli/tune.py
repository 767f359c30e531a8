"""``python -m benchmarks tune``: search the parameters of each loss and method with equal budgets."""

import argparse
from collections.abc import Sequence
from dataclasses import fields

from optuna.trial import TrialState

from benchmarks.cli.arguments import add_overrides, overrides_of
from benchmarks.config.compose import options_of
from benchmarks.tuning.estimate import budgets, estimate_study
from benchmarks.tuning.queue import Queue
from benchmarks.tuning.search import run_trials
from benchmarks.tuning.study import Cell, StudyConfig, list_cells, read_study
from benchmarks.tuning.summary import refuse_another, relative_costs, write_best, write_study

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def main(argv: Sequence[str]) -> int:
    """``python -m benchmarks tune``; 1 if a search has no score, or trials could not be brought to an end."""
    own = [field.name for field in fields(StudyConfig) if field.name not in ("name", "overrides")]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks tune",
        description="Search the parameters of every loss and method of a study with the same number of trials, "
        "those that have ended left out. Several of these commands, on several machines, may share a study.",
        epilog=f"studies (files under configs/study/): {', '.join(options_of('study'))}\n"
        f"keys of a study: {', '.join(own)}; every other key goes to each training\n"
        "example: python -m benchmarks tune glyphs trials=20 folds=[0,1] workers=2 runs=runs/tuning",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="STUDY")
    add_overrides(parser, "a key of the study, or of each training")
    parser.add_argument("--dry-run", action="store_true", help="say what it would take, and stop")
    given = parser.parse_intermixed_args(argv)
    study = read_study(given.name, overrides_of(given))
    cells = list_cells(study)
    refuse_another(study, cells)
    print(budgets(study, cells))
    taken = estimate_study(study, cells)
    print(taken or "every trial has ended")
    if given.dry_run:
        return 0
    if taken is not None:
        taken.refuse_if_the_disk_would_fill(study.runs)
    write_study(study, cells)
    run_trials(study, cells)
    return tell(study, cells)


def tell(study: StudyConfig, cells: Sequence[Cell]) -> int:
    """Show what each search found; 1 if one has no score, or has not ended though nobody is at it."""
    found, costs, failed = write_best(study, cells), relative_costs(study, cells), 0
    for cell in cells:
        queue = Queue(study, cell)
        ended, unscored, running = queue.count(*ENDED), queue.count(TrialState.FAIL), queue.count(TrialState.RUNNING)
        if cell.name not in found or ended < cell.trials:
            failed += not running
            elsewhere = f"; another command is at {running}" if running else ""
            print(f"{cell.name}: {ended} of {cell.trials} trials have ended, {unscored} of them failed{elsewhere}")
            continue
        best = found[cell.name]
        words = [f"{cell.name}: validation MAP@R {best['score']:.4f} in trial {best['trial']} of {ended}"]
        words += ["augmentation off"] if best["augmentation_off"] else []
        words += [f"{unscored} failed"] if unscored else []
        words += [f"on the edge of its range: {' '.join(best['on_edge'])}"] if best["on_edge"] else []
        words += [f"{costs[cell.name]:.2f} times the baseline's seconds an image"] if cell.name in costs else []
        print(", ".join(words))
    dearest = max(costs, key=lambda name: costs[name], default=None)
    if dearest is not None and 1 < study.plus_trials / study.trials < costs[dearest]:
        print(
            f"{dearest} takes {costs[dearest]:.2f} times the baseline's time, but none+ gets only "
            f"{study.plus_trials / study.trials:.2f} times its trials: raise extra_trials"
        )
    print(study.folder)
    return 1 if failed else 0
