"""Arguments that several commands share."""

import argparse


def add_overrides(parser: argparse.ArgumentParser, about: str) -> None:
    """Add ``KEY=VALUE ...`` and ``--allow PACKAGE``, which is short for the override ``allow=[PACKAGE]``."""
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=about)
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="a package of yours whose classes a _target_ may name; its code then runs (repeatable; docs/trust.md)",
    )


def overrides_of(given: argparse.Namespace) -> list[str]:
    """The overrides of a parsed command line, those of ``--allow`` at the end."""
    return [*given.overrides, *([f"allow=[{','.join(given.allow)}]"] if given.allow else [])]
