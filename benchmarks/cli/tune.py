"""``pml-aug tune``: search the parameters of each loss and method with equal budgets."""

from collections.abc import Sequence
from dataclasses import fields

from ..config.compose import options_of
from ..tuning.study import StudyConfig, read_study
from .arguments import Parser, add_overrides, parse_arguments


def main(argv: Sequence[str]) -> int:
    """``pml-aug tune``; 1 if a search has no score."""
    own = [field.name for field in fields(StudyConfig) if field.name not in ("name", "overrides")]
    parser = Parser(
        prog="pml-aug tune",
        description="Search the parameters of every loss and method of a study with the same number of trials. Trials "
        "that have ended are kept. Several of these commands, on several machines, may share a study.",
        epilog=f"studies (files under configs/study/): {', '.join(options_of('study'))}\n"
        f"keys of a study: {', '.join(own)}; every other key goes to each training\n"
        "example: pml-aug tune glyphs trials=20 folds=[0,1] workers=2 runs=runs/tuning",
    )
    parser.add_argument("name", metavar="STUDY")
    add_overrides(parser, "a key of the study, or of each training")
    parser.add_argument("--dry-run", action="store_true", help="print budget and estimate, and stop")
    given = parse_arguments(parser, argv)
    study = read_study(given.name, given.overrides)

    from ..tuning.cells import list_cells  # optuna and torch take seconds to import

    cells = list_cells(study)

    from ..tuning.estimate import budgets, estimate_study
    from ..tuning.plan import copy_to_storage
    from ..tuning.search import run_trials
    from ..tuning.summary import check_same_study, print_summary, write_study

    check_same_study(study, cells)
    print(budgets(study, cells))
    taken = estimate_study(study, cells)
    print(taken or "every trial has ended")
    if given.dry_run:
        return 0
    if taken is not None:
        taken.refuse_if_the_disk_would_fill(study.runs)
    write_study(study, cells)
    copy_to_storage(study, cells)  # refuses a wrong URL before the first trial
    run_trials(study, cells)
    copy_to_storage(study, cells)
    return print_summary(study, cells)
