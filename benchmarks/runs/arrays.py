"""Arrays of a finished run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import files
from .checked_json import damaged
from .done import sealed_bytes


def read_arrays(directory: Path, name: str, keys: Sequence[str], optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """The arrays ``keys`` of an npz file of a finished run, and those of ``optional`` that it has.

    Raises:
        UserError: the file is missing, unreadable, not the one that was there when the run ended, or lacks an array.
    """
    path = directory / name
    content = sealed_bytes(directory, name)
    try:
        found = files.read_arrays(path, [*keys, *optional], content)
    except ValueError as problem:
        raise damaged(path, str(problem).removeprefix(f"{path}: ")) from problem
    if missing := [key for key in keys if key not in found]:
        raise damaged(path, f"no array {missing[0]}")
    return found
