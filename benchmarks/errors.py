"""Errors whose message is meant for the person at the command line."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A request that cannot be carried out: the message is printed without a traceback.

    The message says what was refused, why, and what to do.
    """


class TrainingError(Exception):
    """A training that ended without a result, such as one that diverged: the message is printed without a traceback.

    The message gives the reason and the file with the traceback.
    """


class RunLockedError(UserError):
    """Another process trains this run."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """A sentence that names the unknown ``name`` and the nearest known one, or else all known ones.

    Example:
        >>> unknown("loss", "tripelt", ["contrastive", "triplet"])
        "unknown loss 'tripelt'; the nearest known one is 'triplet'"
        >>> unknown("loss", "xyz", ["contrastive", "triplet"])
        "unknown loss 'xyz'; known are contrastive, triplet"
    """
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    rest = f"the nearest known one is {nearest[0]!r}" if nearest else f"known are {', '.join(names)}"
    return f"unknown {kind} {name!r}; {rest}"
