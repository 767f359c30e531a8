"""Finished run folders, read and checked."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ..errors import Refusal

SCHEMA = 1
METRICS = ("precision_at_1", "r_precision", "mean_average_precision_at_r")
PRIMARY = "mean_average_precision_at_r"
RULES = ("validation", "last", "test")
FILES = ("config.yaml", "environment.json", "result.json", "queries.npz", "gallery.npz")


class Selected(NamedTuple):
    """The epoch that one selection rule chose, and the test scores there, 0 to 1."""

    oracle: bool
    epoch: int
    test: dict[str, float]


class Cost(NamedTuple):
    seconds_per_step: float
    images_per_second: float
    peak_memory_bytes: float | None  # None where it was not measured
    device: str


@dataclass(frozen=True)
class Run:
    """One finished training."""

    path: Path
    name: str  # hash of the resolved config
    data: str
    loss: str
    method: str  # "none" is the bare loss
    fold: int
    seed: int
    facts: dict[str, Any]  # what all runs of one table have in common
    config: dict[str, Any]
    environment: dict[str, Any]
    selection: dict[str, Selected]  # by rule
    curve: dict[int, float]  # epoch -> validation MAP@R, 0 to 1
    cost: Cost

    @property
    def pair(self) -> tuple[int, int]:
        return self.seed, self.fold


def read_runs(root: Path) -> list[Run]:
    """Every run folder in ``root``, by name. Folders without config.yaml and result.json are no run folders.

    Raises:
        Refusal: ``root`` is no folder or holds no run, or a run is unfinished or damaged; all of those by path.
    """
    if not root.is_dir():
        raise Refusal(f"{root} is not a folder; give the folder that holds the run folders")
    folders = [p for p in sorted(root.iterdir()) if (p / "config.yaml").exists() or (p / "result.json").exists()]
    if not folders:
        raise Refusal(f"{root} holds no run folder; `python -m benchmarks run` or `suite` makes them")
    runs, problems = [], []
    for folder in folders:
        try:
            runs.append(read_run(folder))
        except Refusal as problem:
            problems.append(str(problem))
    if problems:
        raise Refusal("\n".join(problems))
    return runs


def read_run(folder: Path) -> Run:
    """The finished run in ``folder``.

    Raises:
        Refusal: unfinished (no done mark) or damaged (a file is missing, unreadable, or not the one that done vouches
            for; a value is missing or impossible).
    """
    if not (folder / "done").exists():
        raise Refusal(f"{folder} is unfinished: it has no done mark; run it again, or move it away")
    for name in FILES:
        if not (folder / name).exists():
            raise Refusal(f"{folder} is damaged: {name} is missing; delete the folder and run it again")
    raw = (folder / "result.json").read_bytes()
    if hashlib.sha256(raw).hexdigest() not in (folder / "done").read_text():
        raise Refusal(f"{folder} is damaged: result.json is not the file whose sha256 is in done")
    result = _Fields(folder, "result.json", _parse(folder, "result.json", raw))
    schema = result.get("schema", int)
    if schema != SCHEMA:
        raise Refusal(f"{folder} has a result.json of schema {schema}, but this report reads schema {SCHEMA}")
    environment = _parse(folder, "environment.json", (folder / "environment.json").read_bytes())
    config = _parse(folder, "config.yaml", (folder / "config.yaml").read_bytes())
    return Run(
        path=folder,
        name=result.get("run", str),
        data=result.get("data.name", str),
        loss=result.get("loss", str),
        method=result.get("method", str),
        fold=result.get("fold", int),
        seed=result.get("seed", int),
        facts={
            "trunk": result.get("trunk", str),
            "embedding size": result.get("embedding_size", int),
            "image size": result.get("data.image_size", int),
            "images seen": result.get("images_seen", int),
            "protocol": f"{result.get('protocol', str)}, version {result.get('protocol_version', int)}",
            "data hash": result.get("data.hash", str),
        },
        config=config,
        environment=environment,
        selection={rule: _selected(result, rule) for rule in RULES},
        curve=_curve(result),
        cost=Cost(
            seconds_per_step=result.positive("cost.seconds_per_step"),
            images_per_second=result.positive("cost.images_per_second"),
            peak_memory_bytes=result.optional("cost.peak_memory_bytes"),
            device=result.get("cost.device", str),
        ),
    )


def _selected(result: "_Fields", rule: str) -> Selected:
    return Selected(
        oracle=result.get(f"selection.{rule}.oracle", bool),
        epoch=result.get(f"selection.{rule}.epoch", int),
        test={metric: result.share(f"selection.{rule}.test.{metric}") for metric in METRICS},
    )


def _curve(result: "_Fields") -> dict[int, float]:
    history = result.get("history", list)
    if not history:
        raise result.impossible("history", history)
    entries = [_Fields(result.folder, f"result.json, history entry {i},", entry) for i, entry in enumerate(history)]
    return {entry.get("epoch", int): entry.share(f"val.{PRIMARY}") for entry in entries}


def _parse(folder: Path, name: str, raw: bytes) -> dict[str, Any]:
    try:
        content = yaml.safe_load(raw) if name.endswith(".yaml") else json.loads(raw)
    except (ValueError, yaml.YAMLError) as problem:
        raise Refusal(f"{folder} is damaged: {name} cannot be read ({type(problem).__name__})") from problem
    if not isinstance(content, dict):
        raise Refusal(f"{folder} is damaged: {name} holds a {type(content).__name__}, not a mapping")
    return content


class _Fields:
    """Values of a parsed file by dotted key, of the right type, or a Refusal that names folder, file and key."""

    def __init__(self, folder: Path, file: str, content: Any) -> None:
        self.folder = folder
        self.file = file
        self.content = content

    def get(self, key: str, kind: Any) -> Any:
        value = self.content
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                raise Refusal(f"{self.folder} is damaged: {self.file} has no {key}")
            value = value[part]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.impossible(key, value)
        return value

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

    def impossible(self, key: str, value: Any) -> Refusal:
        return Refusal(f"{self.folder} is damaged: {self.file} has {key} = {value!r}")
