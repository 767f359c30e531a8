"""Check of the input of every function in this package."""

from typing import Any

import numpy as np


def finite(values: Any, name: str) -> np.ndarray:
    """``values`` as a float64 array; a ValueError that names ``name`` when one of them is nan or infinite.

    Missing scores are never dropped here: the caller knows why they are missing and has to report it.
    """
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        where = np.argwhere(~np.isfinite(array))[0].tolist()
        raise ValueError(f"{name} must be finite, but got {array[tuple(where)]} at position {where}")
    return array
