"""``pml-aug final``: train what a study chose over folds and seeds, then write the report."""

from collections.abc import Sequence
from dataclasses import fields

from ..config.compose import RunOptions
from ..tuning.study import FinalConfig, read_final
from .arguments import Parser, add_overrides, parse_arguments


def main(argv: Sequence[str]) -> int:
    """``pml-aug final``; 1 if any training failed."""
    own = {field.name for field in fields(FinalConfig)}
    options = [field.name for field in fields(RunOptions) if field.name != "runs"]
    parser = Parser(
        prog="pml-aug final",
        description="Train the best parameters of every loss and method of a study that has ended, score each training "
        "on the test set once, then the folds' models side by side, and write the report.",
        epilog=f"keys: {', '.join(sorted(own))}; and of each run {', '.join(options)}. All else is as in the study.\n"
        "example: pml-aug final glyphs seeds=[0,1,2] runs=runs/tuning",
    )
    parser.add_argument("name", metavar="STUDY")
    add_overrides(parser, "a key of the final runs, or of each training")
    parser.add_argument("--dry-run", action="store_true", help="say what it would train, and stop")
    given = parse_arguments(parser, argv)
    final, overrides = read_final(given.name, given.overrides)

    from ..tuning.final import list_raw, list_rows
    from ..tuning.fold_ensemble import write_concatenated
    from ..tuning.summary import load_study
    from .train_and_report import train_and_report  # torch takes seconds to import

    study = load_study(given.name, final.runs, overrides)
    rows = list_rows(study, final)
    trainings = [task for row in rows for task in row.tasks]
    tasks = list({task.folder.name: task for task in [*list_raw(rows), *trainings]}.values())
    for row in rows:
        print(row)
    return train_and_report(tasks, final, given.dry_run, before_report=write_concatenated)
