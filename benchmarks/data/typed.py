"""What the values of a ``data`` group may be."""

from collections.abc import Mapping
from types import NoneType
from typing import Any

from benchmarks.data.identity import JUDGING
from benchmarks.errors import UserError

TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "name": ("text", (str,)),
    "path": ("text or null", (str, NoneType)),
    "image_size": ("a whole number or null", (int, NoneType)),
    "num_classes": ("a whole number or null", (int, NoneType)),
    "resize": ("text", (str,)),
    "cache": ("text", (str,)),
    "workers": ("a whole number or null", (int, NoneType)),
    "download": ("true or false", (bool,)),
    "verify": ("true or false", (bool,)),
    **{key: ("a number from 0 to 1", (int, float)) for key in JUDGING},
}


def check_types(group: Mapping[str, Any]) -> None:
    """See that the values are of the right type; what the data set says of them comes when it is read.

    Raises:
        UserError: if one is not.

    Example:
        >>> check_types({"image_size": 32, "twins_allowed": 0.01})
        >>> check_types({"image_size": 32.5})
        Traceback (most recent call last):
        benchmarks.errors.UserError: data.image_size must be a whole number or null, but got 32.5
    """
    for key, (expected, types) in TYPES.items():
        if key not in group:
            continue
        value = group[key]
        if type(value) not in types or (key in JUDGING and not 0 <= value <= 1):  # True is an int, but no number here
            raise UserError(f"data.{key} must be {expected}, but got {value!r}")
