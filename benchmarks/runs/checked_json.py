"""JSON and YAML files that may be damaged or hostile: read within limits, and their values checked by key."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError

MAX_BYTES = 2**25  # of a JSON file: a result with tens of thousands of evaluations
MAX_YAML_BYTES = 2**17  # PyYAML parses about a megabyte in ten seconds
MAX_DEPTH = 32
MAX_INTEGER = 2**63


def damaged(path: Path, what: str) -> UserError:
    """The error for a file that is not what it should be."""
    return UserError(f"damaged: {path}: {what}")


class Fields:
    """Values of a parsed file by dotted key, checked; anything missing or impossible is a UserError with path and key.

    Args:
        path: of the file.
        content: what it holds.
        where: the part of the file that ``content`` is, for messages; "" for the whole.
    """

    def __init__(self, path: Path, content: Any, where: str = "") -> None:
        self.path = path
        self.content = content
        self.where = where
        if not isinstance(content, Mapping):
            raise self.error(f"a mapping was expected, but it holds a {type(content).__name__}")

    @classmethod
    def of(cls, path: Path) -> "Fields":
        """The fields of a JSON or YAML file."""
        return cls(path, parsed(path))

    def inner(self, key: str) -> "Fields":
        """The fields of the mapping at ``key``."""
        return Fields(self.path, self.get(key, dict), f"{self.where}{key}: ")

    def each(self, key: str) -> list["Fields"]:
        """The fields of each mapping in the list at ``key``."""
        values = self.get(key, list)
        return [Fields(self.path, value, f"{self.where}{key}[{i}]: ") for i, value in enumerate(values)]

    def get(self, key: str, kind: Any) -> Any:
        """The value at ``key``, an instance of ``kind`` (a type or a tuple of types; bool is no int)."""
        value: Any = self.content
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                raise self.error(f"no {key}")
            value = value[part]
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise self.impossible(key, value)
        return value

    def has(self, key: str) -> bool:
        """Whether there is a value other than null at ``key``."""
        value: Any = self.content
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value is not None

    def list_of(self, key: str, kind: type) -> list[Any]:
        """The list at ``key``, all of whose entries are instances of ``kind``."""
        values = self.get(key, list)
        for value in values:
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                raise self.impossible(key, values)
        return values

    def count(self, key: str) -> int:
        """An integer, at least 0."""
        value = self.get(key, int)
        if value < 0:
            raise self.impossible(key, value)
        return int(value)

    def fraction(self, key: str) -> float:
        """A number from 0 to 1."""
        value = self.get(key, (int, float))
        if not 0 <= value <= 1:  # nan included
            raise self.impossible(key, value)
        return float(value)

    def correlation(self, key: str) -> float:
        """A number from -1 to 1."""
        value = self.get(key, (int, float))
        if not -1 <= value <= 1:  # nan included
            raise self.impossible(key, value)
        return float(value)

    def number(self, key: str) -> float:
        """A finite number, at least 0."""
        value = self.get(key, (int, float))
        if not 0 <= value < math.inf:
            raise self.impossible(key, value)
        return float(value)

    def positive(self, key: str) -> float:
        """A finite number above 0."""
        value = self.number(key)
        if not value:
            raise self.impossible(key, value)
        return value

    def optional(self, key: str) -> float | None:
        """A finite number above 0, or None for null and 0, which mean that it was not measured."""
        return self.positive(key) if self.get(key, (int, float, type(None))) else None

    def impossible(self, key: str, value: Any) -> UserError:
        """The error for a value of the wrong type or outside its range."""
        shown = repr(value)
        return self.error(f"{key} = {shown if len(shown) <= 100 else shown[:100] + ' ...'}")

    def error(self, what: str) -> UserError:
        return damaged(self.path, f"{self.where}{what}")


def read_regular(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The content of a regular file of at most ``limit`` bytes; pipes and devices are never opened.

    Raises:
        UserError: it is missing, no regular file, too large or unreadable.
    """
    try:
        if not path.is_file():
            raise damaged(path, "no regular file" if path.exists() else "missing")
        if path.stat().st_size > limit:
            raise damaged(path, f"larger than {limit:,} bytes")
        return path.read_bytes()
    except OSError as problem:
        raise damaged(path, f"cannot be read ({problem.strerror})") from problem


def parsed(path: Path, raw: bytes | None = None) -> dict[str, Any]:
    """The mapping in a JSON or YAML file: null, booleans, numbers, strings, lists and mappings, nested at most 32 deep.

    Args:
        path: of the file; ``.yaml`` is parsed as YAML, anything else as JSON.
        raw: the content, where it was read before.

    Raises:
        UserError: it cannot be read, or holds anything else.
    """
    is_yaml = path.suffix == ".yaml"
    if raw is None:
        raw = read_regular(path, MAX_YAML_BYTES if is_yaml else MAX_BYTES)
    if is_yaml and len(raw) > MAX_YAML_BYTES:
        raise damaged(path, f"larger than {MAX_YAML_BYTES:,} bytes")
    try:
        found = yaml.load(raw, _PlainLoader) if is_yaml else json.loads(raw)
    except Exception as problem:  # PyYAML has IndexError, KeyError and others for odd scalars, json RecursionError
        raise damaged(path, f"cannot be parsed ({type(problem).__name__})") from problem
    _check(found, path)
    if not isinstance(found, dict):
        raise damaged(path, f"a mapping was expected, but it holds a {type(found).__name__}")
    return found


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases, with which a few bytes can expand to gigabytes or a value can contain itself."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        if self.depth == MAX_DEPTH:
            raise yaml.YAMLError(f"nested more than {MAX_DEPTH} deep")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _check(value: Any, path: Path, depth: int = 0) -> None:
    """Refuse what JSON cannot hold, what is nested too deep, and what cannot be written as text."""
    if depth > MAX_DEPTH:
        raise damaged(path, f"nested more than {MAX_DEPTH} deep")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise damaged(path, f"the key {key!r} is a {type(key).__name__}, not a string")
            _check(key, path, depth)
            _check(inner, path, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, path, depth + 1)
    elif isinstance(value, str):
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise damaged(path, "a string with half of a surrogate pair")
    elif isinstance(value, int):
        if abs(value) >= MAX_INTEGER:
            raise damaged(path, "an integer of more than 64 bits")
    elif value is not None and not isinstance(value, float):
        raise damaged(path, f"a value of type {type(value).__name__}")
