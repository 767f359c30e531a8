"""``pml-aug ablate METHOD``: train a method beside its controls, and say what each part adds and costs."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from ..config.ablation import SUITE, read_ablation
from ..config.compose import options_of
from ..config.lists import SuiteConfig, list_kinds
from .arguments import Parser, add_overrides, parse_arguments


def main(argv: Sequence[str]) -> int:
    """``pml-aug ablate``; 1 if any training failed."""
    parser = Parser(
        prog="pml-aug ablate",
        description="Train the baseline, a method and its controls, each of which lacks one part of the method, write "
        "the report, and print what each part adds and costs.",
        epilog=f"methods (files under configs/method/; their key `control` names the controls): "
        f"{', '.join(options_of('method'))}\n"
        f"keys: suite (data, protocol, folds and seeds are those of a suite; {SUITE}), losses, "
        f"{', '.join(field.name for field in fields(SuiteConfig))}; every other key goes to each run\n"
        "example: pml-aug ablate ee losses=[triplet,multi_similarity] seeds=[0,1,2,3,4,5]",
    )
    parser.add_argument("method", metavar="METHOD")
    add_overrides(parser, "suite=NAME, losses=[NAME], a key of the suite, or of each training")
    parser.add_argument("--dry-run", action="store_true", help="list the controls and what they would take, and stop")
    given = parse_arguments(parser, argv)
    suite, overrides, controls = read_ablation(given.method, given.overrides)
    width = max(map(len, [given.method, *controls]))
    print(f"{given.method:<{width}}  the method, with {', '.join(each.loss for each in suite.comparisons)}")
    for control, lacks in controls.items():
        print(f"{control:<{width}}  lacks {lacks}")
    kinds = list_kinds(suite, overrides)
    from ..jobs.suite import list_tasks
    from .train_and_report import train_and_report  # loads torch, which takes seconds

    status = train_and_report(list_tasks(suite, kinds), suite, given.dry_run)
    if status == 0 and not given.dry_run:
        from ..report.ablation import write_ablation

        for part in write_ablation(Path(suite.runs), Path(suite.out or f"{suite.runs}/report"), given.method):
            print(part)
    return status
