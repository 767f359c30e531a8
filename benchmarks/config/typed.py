"""Dataclass instances from plain values, with error messages that name the key, the expected type and the value."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from ..errors import UserError, unknown

T = TypeVar("T")
WORDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "null"}
LARGEST = 2**63 - 1  # of whole numbers: what torch and numpy can hold
DEEPEST = 30  # levels of mappings and lists within each other


def typed(schema: type[T], values: Mapping[str, Any], prefix: str = "") -> T:
    """An instance of a dataclass; whole numbers are accepted for its floats, and nothing else is converted.

    Args:
        schema: a dataclass whose fields are scalars, lists, dicts, dataclasses or unions with None.
        values: plain dicts, lists and scalars by the names of its fields.
        prefix: of the keys in error messages, with its dot.

    Raises:
        UserError: an unknown or a missing key, a value of another type, a number that is not finite.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Size:
        ...     side: int
        ...     scale: float = 1.0
        >>> typed(Size, {"side": 3, "scale": 2})
        Size(side=3, scale=2.0)
        >>> typed(Size, {"side": "big"}, "data.")
        Traceback (most recent call last):
        benchmarks.errors.UserError: data.side must be a whole number, but got 'big'
    """
    hints = get_type_hints(schema)
    for key in values:
        if key not in hints:
            raise UserError(unknown("key", f"{prefix}{key}", [f"{prefix}{name}" for name in hints]))
    given = {}
    for known in fields(schema):  # type: ignore[arg-type]
        if known.name in values:
            given[known.name] = _converted(hints[known.name], values[known.name], f"{prefix}{known.name}")
        elif known.default is MISSING and known.default_factory is MISSING:
            raise UserError(f"{prefix}{known.name} is missing: it must be {_words(hints[known.name])}")
    return schema(**given)


def _converted(hint: Any, value: Any, key: str) -> Any:
    if hint is Any:
        return _plain(value, key, 0)
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    for option in options:
        kind = get_origin(option) or option
        if is_dataclass(kind) and isinstance(value, Mapping):
            return typed(cast(type[Any], kind), value, f"{key}.")
        if kind is list and isinstance(value, list):
            return [_converted(get_args(option)[0], item, f"{key}[{row}]") for row, item in enumerate(value)]
        if kind is dict and isinstance(value, Mapping):
            return _plain(value, key, 0)
        if kind is float and type(value) in (int, float):  # True is an int, but no number here
            return float(_plain(value, key, 0))
        if type(value) is kind:
            return _plain(value, key, 0)
    raise UserError(f"{key} must be {_words(hint)}, but got {value!r}")


def _plain(value: Any, key: str, depth: int) -> Any:
    """A copy of dicts, lists and scalars that YAML and JSON can hold, with finite numbers."""
    if depth > DEEPEST:
        raise UserError(f"{key} is nested more than {DEEPEST} levels deep")
    if isinstance(value, Mapping):
        for part in value:
            if not isinstance(part, str):
                raise UserError(f"{key} must have text as keys, but got {part!r}")
        return {part: _plain(item, f"{key}.{part}", depth + 1) for part, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, f"{key}[{row}]", depth + 1) for row, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{key} must be a finite number, but got {value}")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise UserError(f"{key} must be a number of at most 64 bits, but got {value}")
    return value


def _words(hint: Any) -> str:
    """What a type expects, such as ``a whole number or null``."""
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_words(option) for option in get_args(hint))
    if get_origin(hint) is list:
        (item,) = get_args(hint)
        example = {int: "[0, 1]", str: "[a, b]", float: "[0.5, 1]"}.get(item, "[{...}, {...}]")
        return f"a list such as {example}"
    if get_origin(hint) is dict:
        return "a mapping such as {_target_: package.Class, argument: 1}"
    if is_dataclass(hint):
        return f"a mapping {{{', '.join(f'{known.name}: ...' for known in fields(hint))}}}"
    return WORDS[hint]
