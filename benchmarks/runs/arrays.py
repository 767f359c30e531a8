"""Arrays of a finished run."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.runs.checked_json import damaged
from benchmarks.runs.done import sealed_bytes


def read_arrays(directory: Path, name: str, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays ``keys`` of an npz file of a finished run.

    Raises:
        UserError: the file is missing, unreadable, not the one that was there when the run ended, or lacks an array.
    """
    content = sealed_bytes(directory, name)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {key: arrays[key] for key in keys}
    except Exception as problem:  # zipfile, zlib and numpy raise a dozen kinds for what is no npz file
        raise damaged(directory / name, f"cannot be read ({type(problem).__name__}: {problem})") from problem
