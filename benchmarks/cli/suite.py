"""``pml-aug suite``: train everything a suite lists, then write the report."""

from collections.abc import Sequence
from dataclasses import fields

from ..config.classification_suite import GROUP, list_classification_kinds, read_classification_suite
from ..config.compose import options_of
from ..config.lists import SuiteConfig, list_kinds, read_suite
from ..errors import UserError, unknown
from .arguments import Parser, add_overrides, parse_arguments


def main(argv: Sequence[str]) -> int:
    """``pml-aug suite``; 1 if any training failed."""
    parser = Parser(
        prog="pml-aug suite",
        description="Train everything a suite lists, finished trainings left out, and write the report.",
        epilog=f"suites (files under configs/suite/): {', '.join(options_of('suite'))}\n"
        f"of classifiers (files under configs/{GROUP}/): {', '.join(options_of(GROUP))}\n"
        f"keys of a suite: {', '.join(field.name for field in fields(SuiteConfig))}; every other key goes to each run\n"
        "example: pml-aug suite quickstart seeds=[0,1] workers=2 runs=runs/short protocol.epochs=4",
    )
    parser.add_argument("name", metavar="SUITE")
    add_overrides(parser, "a key of the suite, or of each training")
    parser.add_argument("--dry-run", action="store_true", help="say what it would take, and stop")
    given = parse_arguments(parser, argv)
    of_classifiers, others = options_of(GROUP), options_of("suite")
    if given.name not in (*of_classifiers, *others):
        raise UserError(unknown("suite", given.name, [*of_classifiers, *others]))
    if given.name in of_classifiers:
        return _classifiers(given.name, given.overrides, given.dry_run)
    suite, overrides = read_suite(given.name, given.overrides)
    kinds = list_kinds(suite, overrides)
    from ..jobs.suite import list_tasks, report_rounds
    from .train_and_report import train_and_report  # loads torch, which takes seconds

    tasks = list_tasks(suite, kinds)
    return train_and_report(tasks, suite, given.dry_run, rounds=report_rounds(tasks))


def _classifiers(name: str, overrides: Sequence[str], dry_run: bool) -> int:
    """A suite of classifiers."""
    suite, rest = read_classification_suite(name, overrides)
    kinds = list_classification_kinds(suite, rest)
    from ..classification.jobs import list_classifications
    from .train_and_report import train_and_report  # loads torch, which takes seconds

    jobs, first = list_classifications(suite, kinds)
    return train_and_report(jobs, suite, dry_run, rounds=[first])
