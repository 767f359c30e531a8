"""Values of the files that a run or a study wrote, checked as they are read."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.errors import UserError


class Fields:
    """Values of a parsed file by dotted key, of the right type, or a UserError that names folder, file and key."""

    def __init__(self, folder: Path, file: str, content: Any) -> None:
        self.folder = folder
        self.file = file
        self.content = content

    @classmethod
    def of(cls, path: Path) -> "Fields":
        return cls(path.parent, path.name, parsed(path))

    def get(self, key: str, kind: Any) -> Any:
        value = self.content
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                raise UserError(f"{self.folder} is damaged: {self.file} has no {key}")
            value = value[part]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.impossible(key, value)
        return value

    def has(self, key: str) -> bool:
        """Whether the key is there with another value than null."""
        value = self.content
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value is not None

    def share(self, key: str) -> float:
        """A score, 0 to 1."""
        value = self.get(key, (int, float))
        if not 0 <= value <= 1:  # nan included
            raise self.impossible(key, value)
        return float(value)

    def positive(self, key: str) -> float:
        value = self.get(key, (int, float))
        if not 0 < value < math.inf:
            raise self.impossible(key, value)
        return float(value)

    def optional(self, key: str) -> float | None:
        """A measurement, or None where null or 0 says that there was none."""
        return self.positive(key) if self.get(key, (int, float, type(None))) else None

    def impossible(self, key: str, value: Any) -> UserError:
        return UserError(f"{self.folder} is damaged: {self.file} has {key} = {value!r}")


def parsed(path: Path, raw: bytes | None = None) -> dict[str, Any]:
    """The mapping that a yaml or json file holds.

    Args:
        path: of the file.
        raw: its content, where that was read before.

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    try:
        content = path.read_bytes() if raw is None else raw
        found = yaml.safe_load(content) if path.suffix == ".yaml" else json.loads(content)
    except (OSError, ValueError, yaml.YAMLError) as problem:
        raise UserError(f"{path.parent} is damaged: {path.name} cannot be read ({type(problem).__name__})") from problem
    if not isinstance(found, dict):
        raise UserError(f"{path.parent} is damaged: {path.name} holds a {type(found).__name__}, not a mapping")
    return found
