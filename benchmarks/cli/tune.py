"""``python -m benchmarks tune``: search the parameters of each loss and method with equal budgets."""

from collections.abc import Sequence
from dataclasses import fields

from benchmarks.cli.arguments import Parser, add_overrides, parse_arguments
from benchmarks.config.compose import options_of
from benchmarks.tuning import ledger
from benchmarks.tuning.estimate import budgets, estimate_study
from benchmarks.tuning.plan import copy_to_storage
from benchmarks.tuning.search import run_trials
from benchmarks.tuning.study import Cell, StudyConfig, list_cells, read_study
from benchmarks.tuning.summary import check_same_study, relative_costs, why_no_score, write_best, write_study


def main(argv: Sequence[str]) -> int:
    """``python -m benchmarks tune``; 1 if a search has no score."""
    own = [field.name for field in fields(StudyConfig) if field.name not in ("name", "overrides")]
    parser = Parser(
        prog="python -m benchmarks tune",
        description="Search the parameters of every loss and method of a study with the same number of trials. Trials "
        "that have ended are kept. Several of these commands, on several machines, may share a study.",
        epilog=f"studies (files under configs/study/): {', '.join(options_of('study'))}\n"
        f"keys of a study: {', '.join(own)}; every other key goes to each training\n"
        "example: python -m benchmarks tune glyphs trials=20 folds=[0,1] workers=2 runs=runs/tuning",
    )
    parser.add_argument("name", metavar="STUDY")
    add_overrides(parser, "a key of the study, or of each training")
    parser.add_argument("--dry-run", action="store_true", help="print budget and estimate, and stop")
    given = parse_arguments(parser, argv)
    study = read_study(given.name, given.overrides)
    cells = list_cells(study)
    check_same_study(study, cells)
    print(budgets(study, cells))
    taken = estimate_study(study, cells)
    print(taken or "every trial has ended")
    if given.dry_run:
        return 0
    if taken is not None:
        taken.refuse_if_the_disk_would_fill(study.runs)
    write_study(study, cells)
    run_trials(study, cells)
    return print_summary(study, cells)


def print_summary(study: StudyConfig, cells: Sequence[Cell]) -> int:
    """Print the best trial of each search; 1 if one has no score."""
    lines = ledger.read(study.ledger)
    found, costs = write_best(study, cells, lines), relative_costs(cells, lines)
    for cell in cells:
        failed = sum(line["outcome"] == "failed" for line in lines if line["cell"] == cell.name)
        if cell.name not in found:
            print(f"{cell.name}: {why_no_score(cell, lines)}")
            continue
        best = found[cell.name]
        words = [f"{cell.name}: validation MAP@R {best['score']:.4f} in trial {best['trial']} of {cell.trials}"]
        words += ["augmentation off"] if best["augmentation_off"] else []
        words += [f"{failed} failed"] if failed else []
        words += [f"on the edge of its range: {' '.join(best['on_edge'])}"] if best["on_edge"] else []
        words += [f"{costs[cell.name]:.2f} times the baseline's seconds per image"] if cell.name in costs else []
        print(", ".join(words))
    slowest = max(costs, key=lambda name: costs[name], default=None)
    if slowest is not None and 1 < study.plus_trials / study.trials < costs[slowest]:
        print(
            f"{slowest} takes {costs[slowest]:.2f} times the baseline's time, but none+ gets only "
            f"{study.plus_trials / study.trials:.2f} times its trials: raise extra_trials"
        )
    if study.storage is not None:
        copy_to_storage(study, cells, lines)
    print(study.folder)
    return int(len(found) < len(cells))
