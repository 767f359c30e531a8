"""Finished run folders, read and checked."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.errors import UserError
from benchmarks.runs.checked_json import Fields, parsed
from benchmarks.runs.schema import SCHEMA

SCHEMAS = (1, 2, SCHEMA)
METRICS = ("precision_at_1", "r_precision", "mean_average_precision_at_r")
PRIMARY = "mean_average_precision_at_r"
RULES = ("validation", "last", "test")
FILES = ("config.yaml", "environment.json", "result.json")
TEST_FILES = ("queries.npz", "gallery.npz")  # of runs that were scored on the test set


class Selected(NamedTuple):
    """The epoch that one selection rule chose, and the test scores there, 0 to 1."""

    oracle: bool
    epoch: int
    test: dict[str, float]


class Tuned(NamedTuple):
    """The trial that a run's parameters come from."""

    study: str
    trial: int


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
    method: str  # "none" is the baseline
    fold: int
    seed: int
    facts: dict[str, Any]  # what all runs of one table have in common
    config: dict[str, Any]
    environment: dict[str, Any]
    selection: dict[str, Selected]  # by rule, the honest one first; only rules whose epoch was scored on the test set
    curve: dict[int, float]  # epoch -> validation MAP@R, 0 to 1; empty where no fold validates
    cost: Cost
    images: dict[str, int]  # train, val, test
    tuned: Tuned | None = None
    test_scorings: int | None = None  # sets of weights scored on the test set; None where that was not counted
    audit: dict[str, Any] | None = None  # what the sides of the split have in common; None in older runs

    @property
    def rule(self) -> str:
        """The honest one: validation's choice or, where no fold validates, the last epoch, fixed beforehand."""
        return next(iter(self.selection))

    def selected(self, rule: str | None = None) -> Selected:
        """By ``rule``; None: by the honest one."""
        return self.selection[rule or self.rule]

    @property
    def pair(self) -> tuple[int, int]:
        return self.seed, self.fold


def read_runs(root: Path) -> list[Run]:
    """Every run folder in ``root``, by name. Folders without config.yaml and result.json are no run folders.

    Raises:
        UserError: ``root`` is no folder or holds no run, or a run is unfinished or damaged; all of those by path.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a folder; give the folder that holds the run folders")
    folders = [p for p in sorted(root.iterdir()) if (p / "config.yaml").exists() or (p / "result.json").exists()]
    if not folders:
        raise UserError(f"{root} holds no run folder; `python -m benchmarks run` or `suite` makes them")
    runs, problems = [], []
    for folder in folders:
        try:
            runs.append(read_run(folder))
        except UserError as problem:
            problems.append(str(problem))
    if problems:
        raise UserError("\n".join(problems))
    return runs


def read_run(folder: Path) -> Run:
    """The finished run in ``folder``.

    Raises:
        UserError: unfinished (no done mark) or damaged (a file is missing, unreadable, or not the one that done vouches
            for; a value is missing or impossible).
    """
    if not (folder / "done").exists():
        raise UserError(f"{folder} is unfinished: it has no done mark; run it again, or move it away")
    _require(folder, FILES)
    raw = (folder / "result.json").read_bytes()
    if hashlib.sha256(raw).hexdigest() not in (folder / "done").read_text():
        raise UserError(f"{folder} is damaged: result.json is not the file whose sha256 is in done")
    result = Fields(folder, "result.json", parsed(folder / "result.json", raw))
    schema = result.get("schema", int)
    if schema not in SCHEMAS:
        known = " and ".join(map(str, SCHEMAS))
        raise UserError(f"{folder} has a result.json of schema {schema}, but this report reads schemas {known}")
    selection = _selection(result)
    if selection:
        _require(folder, TEST_FILES)
    config = parsed(folder / "config.yaml")
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
            "images seen": _images_seen(result, config),
            "protocol": _protocol(result),
            "data hash": result.get("data.hash", str),
        },
        config=config,
        environment=parsed(folder / "environment.json"),
        selection=selection,
        curve=_curve(result),
        cost=Cost(
            seconds_per_step=result.positive("cost.seconds_per_step"),
            images_per_second=result.positive("cost.images_per_second"),
            peak_memory_bytes=result.optional("cost.peak_memory_bytes"),
            device=result.get("cost.device", str),
        ),
        images={part: result.get(f"data.images.{part}", int) for part in ("train", "val", "test")},
        tuned=_tuned(result),
        test_scorings=result.get("test_scorings", int) if result.has("test_scorings") else None,
        audit=_audit(result),
    )


def _protocol(result: Fields) -> str:
    """Name and version; runs that no fold validates are never of the protocol of others."""
    without = "" if _validated(result) else ", without validation"
    return f"{result.get('protocol', str)}, version {result.get('protocol_version', int)}{without}"


def _validated(result: Fields) -> bool:
    return result.get("data.images.val", int) > 0


def _images_seen(result: Fields, config: dict[str, Any]) -> int | str:
    """What the run drew; where patience may end it before, what it was allowed to draw."""
    seen = result.get("images_seen", int)
    protocol = config.get("protocol") or {}
    if protocol.get("patience") is None:
        return seen
    batch = result.get("batch_size", int)
    iterations = protocol.get("iterations_per_epoch") or max(1, result.get("data.images.train", int) // batch)
    return f"at most {protocol['epochs'] * iterations * batch:,}"


def _require(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        if not (folder / name).exists():
            raise UserError(f"{folder} is damaged: {name} is missing; delete the folder and run it again")


def _selection(result: Fields) -> dict[str, Selected]:
    """By rule, where there are test scores: with ``test_scoring=once`` for the honest rule alone, else for all."""
    honest = "validation" if _validated(result) else "last"
    result.get(f"selection.{honest}", dict)
    scored = RULES if result.get("schema", int) == 1 else [r for r in RULES if result.has(f"selection.{r}.test")]
    selection = {rule: _selected(result, rule) for rule in scored}
    for rule, selected in selection.items():
        if selected.oracle == (rule == honest):
            raise result.impossible(f"selection.{rule}.oracle", selected.oracle)
    return selection


def _selected(result: Fields, rule: str) -> Selected:
    return Selected(
        oracle=result.get(f"selection.{rule}.oracle", bool),
        epoch=result.get(f"selection.{rule}.epoch", int),
        test={metric: result.share(f"selection.{rule}.test.{metric}") for metric in METRICS},
    )


def _curve(result: Fields) -> dict[int, float]:
    history = result.get("history", list)
    if not history:
        raise result.impossible("history", history)
    entries = [Fields(result.folder, f"result.json, history entry {i},", entry) for i, entry in enumerate(history)]
    if not _validated(result):
        return {}
    return {entry.get("epoch", int): entry.share(f"val.{PRIMARY}") for entry in entries}


def _tuned(result: Fields) -> Tuned | None:
    return Tuned(result.get("tuned.study", str), result.get("tuned.trial", int)) if result.has("tuned") else None


def _audit(result: Fields) -> dict[str, Any] | None:
    if not result.has("audit"):
        return None
    for key in ("shared_classes", "identical", "near_identical", "images"):
        result.get(f"audit.{key}", int)
        result.get(f"audit.validation.{key}", int)
    result.positive("audit.threshold")
    for key in ("twins_allowed", "identical_allowed"):
        result.share(f"audit.{key}")
    return result.get("audit", dict)
