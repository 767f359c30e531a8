"""What the commands' argument parsers share. Imports nothing that takes long, so that typos are answered at once."""

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ..config import CONFIGS_VARIABLE
from ..errors import UserError


class Parser(argparse.ArgumentParser):
    """A parser whose errors are single sentences, and which keeps the line breaks of its texts."""

    def __init__(self, prog: str, description: str, epilog: str | None = None) -> None:
        layout = argparse.RawDescriptionHelpFormatter
        super().__init__(prog, None, description, epilog, formatter_class=layout, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} ({self.prog} --help lists what there is)")


def add_overrides(parser: argparse.ArgumentParser, about: str) -> None:
    """Add ``KEY=VALUE ...``, ``--config-dir DIR`` and ``--allow PACKAGE``, which stands for ``allow=[PACKAGE]``."""
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=about)
    parser.add_argument(
        "--config-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="a directory of your own losses, methods, suites, ... laid out like configs/ (repeatable); configs/ in "
        "the working directory is always read",
    )
    _add_allow(parser)


def add_model(parser: argparse.ArgumentParser, device: bool = True) -> None:
    """Add ``RUN``, ``--device`` (optional) and ``--allow PACKAGE``: what loading a trained model takes."""
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="run directory with model.json, or a directory exported from one"
    )
    if device:
        parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")
    _add_allow(parser)


def _add_allow(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="a package of yours whose classes a _target_ may name; its code then runs (repeatable; docs/trust.md)",
    )


def parse_arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """The parsed command line, with ``--allow`` among its ``overrides`` and ``--config-dir`` in the environment.

    Raises:
        UserError: for an unknown option; one that names a key of a configuration, such as ``--epochs 3``, is answered
            with the override that sets it, ``protocol.epochs=3``.
    """
    given, unknown_words = parser.parse_known_intermixed_args(argv)
    for word in unknown_words:
        option, _, value = word.partition("=")
        if not value and argv[-1] != word:
            value = argv[list(argv).index(word) + 1]
        raise UserError(f"unknown option {option}: {_instead(option.lstrip('-'), value or 'VALUE')}")
    if getattr(given, "config_dir", None):  # worker processes inherit the variable
        before = [os.environ[CONFIGS_VARIABLE]] if os.environ.get(CONFIGS_VARIABLE) else []
        os.environ[CONFIGS_VARIABLE] = os.pathsep.join([*before, *given.config_dir])
    if given.allow:
        sys.path.append(os.getcwd())  # where an allowed module may lie; `python -m` has it there, a script has not
        given.overrides.append(f"allow=[{','.join(given.allow)}]")
    return given


def _instead(name: str, value: str) -> str:
    from ..config.compose import override_keys  # only for the wrong command line

    keys = {last: key for key in reversed(override_keys()) for last in (key, key.rpartition(".")[2])}
    near = difflib.get_close_matches(name.replace("-", "_"), keys, n=1, cutoff=0.75)
    if near:
        return f"settings are written KEY=VALUE, here {keys[near[0]]}={value}"
    return "--help lists the options, and settings are written KEY=VALUE"
