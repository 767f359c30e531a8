"""Finished runs, read from their directories and checked."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..config.parts import RAW
from ..errors import UserError
from .checked_json import Fields, damaged, parsed
from .done import read_seals, sealed_bytes
from .schema import (
    CONFIG,
    DONE,
    ENVIRONMENT,
    GALLERY,
    QUERIES,
    RESULT,
    RETRIEVAL,
    RULES,
    SCHEMA,
    Task,
    in_order,
    is_metric,
    run_name,
)
from .setting import arm, facts, task_of, validated

_NAME = re.compile(r"[0-9a-f]{12}")
_FILES = (CONFIG, ENVIRONMENT, RESULT, DONE, QUERIES, GALLERY)


class Selected(NamedTuple):
    """The epoch that a selection rule chose, and the test scores there, 0 to 1."""

    oracle: bool
    epoch: int
    test: dict[str, float]


class Evaluated(NamedTuple):
    """One evaluation during a training; scores by metric, 0 to 1, None where the split was not scored."""

    epoch: int
    iterations: int
    loss: float | None  # mean over the epoch; None before the training
    val: dict[str, float] | None
    test: dict[str, float] | None


class TunedBy(NamedTuple):
    """The trial that a run's parameters come from."""

    study: str
    trial: int


class Activity(NamedTuple):
    """How often a method made synthetic points."""

    steps: int
    active_steps: int
    synthetic_per_step: float
    synthetic_share: float | None = None  # of the distances between classes, those of points; None: not counted


class RunCost(NamedTuple):
    seconds_per_step: float  # 0 where nothing was trained
    images_per_second: float
    peak_memory_bytes: float | None  # None where it was not measured
    device: str


@dataclass(frozen=True)
class Run:
    """One finished training, or the scores of features on which nothing was trained."""

    path: Path
    name: str  # hash of the configuration, and name of the directory
    data: str
    loss: str
    method: str  # "none" is the baseline
    fold: int
    seed: int
    batch_size: int
    facts: dict[str, Any]  # what all runs of one table have in common
    config: dict[str, Any]
    environment: dict[str, Any]
    selection: dict[str, Selected]  # by rule, the honest one first; only rules whose epoch was scored on the test set
    chosen_epoch: int  # by the honest rule, whether or not it was scored on the test set
    history: tuple[Evaluated, ...]
    cost: RunCost
    images: dict[str, int]  # train, val, test
    activity: Activity | None = None  # None: the method is "none", or acts in every step by construction
    tuned: TunedBy | None = None
    augmentation_off: bool = False  # whether the search of its method found the loss alone to be best
    test_scorings: int | None = None  # sets of weights scored on the test set; None where that was not counted
    audit: dict[str, Any] | None = None  # what the two sides of the split have in common; None: not audited
    controls: dict[str, str] = field(default_factory=dict)  # methods by name, and what each lacks of this one
    task: Task = RETRIEVAL

    @property
    def rule(self) -> str:
        """The honest rule: validation or, where no fold validates, the last epoch, fixed beforehand."""
        return next(iter(self.selection))

    def selected(self, rule: str | None = None) -> Selected:
        """The choice of ``rule``; None: of the honest one."""
        return self.selection[rule or self.rule]

    @property
    def curve(self) -> dict[int, float]:
        """The primary metric on validation by epoch, 0 to 1; empty where no fold validates."""
        return {entry.epoch: entry.val[self.task.primary] for entry in self.history if entry.val is not None}

    @property
    def is_raw(self) -> bool:
        """Whether nothing was trained: the features were scored as they are, for one fold, without a seed."""
        return self.loss in RAW

    @property
    def untrained(self) -> bool:
        """Whether the honest rule chose the model as it was before training."""
        return self.chosen_epoch == 0

    @property
    def inactive(self) -> bool:
        """Whether the method never made a synthetic point."""
        return self.activity is not None and self.activity.active_steps == 0

    @property
    def pair(self) -> tuple[int, int]:
        """Seed and fold, which a method's run shares with its baseline's."""
        return self.seed, self.fold


def is_run(directory: Path) -> bool:
    """Whether ``directory`` holds any file of a run that has begun."""
    return any((directory / name).exists() for name in _FILES)


def read_runs(root: Path, names: Collection[str] | None = None) -> list[Run]:
    """Every run in ``root``, or those of the given ``names``; directories that hold no file of a run are ignored.

    Raises:
        UserError: ``root`` is no directory or holds no run, or runs are unfinished or damaged; all of them are named.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a directory; give the one that holds the run directories")
    directories = [path for path in sorted(root.iterdir()) if path.is_dir() and is_run(path)]
    if names is not None:
        directories = [path for path in directories if path.name in names]
    if not directories:
        raise UserError(f"{root} holds no run directory; `pml-aug run` or `suite` makes them")
    runs, problems = [], []
    for directory in directories:
        try:
            runs.append(read_run(directory))
        except UserError as problem:
            problems.append(str(problem))
    if problems:
        raise UserError("\n".join(problems))
    return runs


def read_run(directory: Path) -> Run:
    """The finished run in ``directory``.

    Every file must have the sha256 in the done mark, the directory must be named by the hash of its configuration, and
    the result must be of that run.

    Raises:
        UserError: the run is unfinished (no done mark) or damaged (a file is missing, unreadable, changed or of another
            run; a value is missing or impossible).
    """
    if not (directory / DONE).exists():
        raise UserError(f"{directory} is unfinished: it has no done mark; run it again, or move it away")
    config = parsed(directory / CONFIG, sealed_bytes(directory, CONFIG))
    environment = Fields(directory / ENVIRONMENT, parsed(directory / ENVIRONMENT, sealed_bytes(directory, ENVIRONMENT)))
    result = Fields(directory / RESULT, parsed(directory / RESULT, sealed_bytes(directory, RESULT)))
    if (schema := result.get("schema", int)) != SCHEMA:
        raise UserError(
            f"{directory} was written with schema {schema}, but this version reads schema {SCHEMA}; run it again"
        )
    name = run_name(config)
    if name != directory.resolve().name:
        raise damaged(directory, f"its {CONFIG} is that of run {name}, so the directory should have that name")
    if result.get("run", str) != name:
        raise damaged(directory / RESULT, f"the result of run {result.get('run', str)}, not of {name}")
    if environment.get("data_hash", str) != result.get("data.hash", str):
        raise damaged(directory / RESULT, f"its data.hash is not the data_hash of {ENVIRONMENT}")
    task = task_of(result)
    selection = _selection(result, task)
    if selection:
        for file in task.arrays:
            sealed_bytes(directory, file)
    else:
        _check_no_lost_arrays(directory)
    return Run(
        path=directory,
        name=name,
        data=result.get("data.name", str),
        **arm(result, task),
        seed=result.count("seed"),
        batch_size=result.count("batch_size"),
        facts=facts(result, Fields(directory / CONFIG, config), task),
        config=config,
        environment=environment.content,
        selection=selection,
        chosen_epoch=result.count(f"selection.{_honest(result)}.epoch"),
        history=_history(result, task),
        cost=_cost(result),
        images={part: result.count(f"data.images.{part}") for part in ("train", "val", "test")},
        activity=_activity(result),
        tuned=TunedBy(result.get("tuned.study", str), result.count("tuned.trial")) if result.has("tuned") else None,
        test_scorings=result.count("test_scorings") if result.has("test_scorings") else None,
        audit=_audit(result),
        controls=_controls(result),
        task=task,
    )


def _check_no_lost_arrays(directory: Path) -> None:
    """Check the arrays of a run without test scores: it has none, unless its done mark names some."""
    for name in read_seals(directory):
        if name in (QUERIES, GALLERY):
            sealed_bytes(directory, name)


def _honest(result: Fields) -> str:
    return "validation" if validated(result) else "last"


def _selection(result: Fields, task: Task) -> dict[str, Selected]:
    """By rule, where there are test scores: with ``test_scoring=once`` for the honest rule alone."""
    honest = _honest(result)
    result.get(f"selection.{honest}", dict)
    selection = {rule: _selected(result, rule, task) for rule in RULES if result.has(f"selection.{rule}.test")}
    for rule, selected in selection.items():
        if selected.oracle == (rule == honest):
            raise result.impossible(f"selection.{rule}.oracle", selected.oracle)
    if selection and next(iter(selection)) != honest:
        raise result.error(f"test scores by the rule {next(iter(selection))!r}, but none by {honest!r}")
    return selection


def _selected(result: Fields, rule: str, task: Task) -> Selected:
    chosen = result.inner(f"selection.{rule}")
    return Selected(chosen.get("oracle", bool), chosen.count("epoch"), _scores(chosen.inner("test"), task))


def _scores(fields: Fields, task: Task) -> dict[str, float]:
    for name in fields.content:
        if not is_metric(name, task):
            raise fields.error(f"{name!r} is no metric")
    read = {"ami": fields.correlation}
    return {name: read.get(name, fields.fraction)(name) for name in in_order([*task.metrics, *fields.content])}


def _history(result: Fields, task: Task) -> tuple[Evaluated, ...]:
    entries = result.each("history")
    if not entries:
        raise result.impossible("history", [])
    has_validation = validated(result)
    return tuple(
        Evaluated(
            epoch=entry.count("epoch"),
            iterations=entry.count("iterations"),
            loss=float(entry.get("loss", (int, float))) if entry.has("loss") else None,
            val=_scores(entry.inner("val"), task) if has_validation else None,
            test=_scores(entry.inner("test"), task) if entry.has("test") else None,
        )
        for entry in entries
    )


def _cost(result: Fields) -> RunCost:
    rate = result.number if result.get("loss", str) in RAW else result.positive
    return RunCost(
        seconds_per_step=rate("cost.seconds_per_step"),
        images_per_second=rate("cost.images_per_second"),
        peak_memory_bytes=result.optional("cost.peak_memory_bytes"),
        device=result.get("cost.device", str),
    )


def _controls(result: Fields) -> dict[str, str]:
    """As the method's configuration named them; runs that were finished before it did have none."""
    if not result.has("controls"):
        return {}
    found = result.inner("controls")
    return {name: found.get(name, str) for name in found.content}


def _activity(result: Fields) -> Activity | None:
    if result.get("method_activity", (dict, type(None))) is None:
        return None
    found = result.inner("method_activity")
    share = found.fraction("synthetic_share") if found.has("synthetic_share") else None
    activity = Activity(found.count("steps"), found.count("active_steps"), found.number("synthetic_per_step"), share)
    if activity.active_steps > activity.steps:
        raise found.impossible("active_steps", activity.active_steps)
    return activity


def _audit(result: Fields) -> dict[str, Any] | None:
    if not result.has("audit"):
        return None
    for key in ("shared_classes", "identical", "near_identical", "images"):
        result.count(f"audit.{key}")
        result.count(f"audit.validation.{key}")
    result.positive("audit.threshold")
    for key in ("twins_allowed", "identical_allowed"):
        result.fraction(f"audit.{key}")
    return result.get("audit", dict)
