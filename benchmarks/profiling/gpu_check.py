"""A check of everything that is faster on a GPU, in a given number of minutes: steps in order, and a table of goals."""

import json
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..errors import UserError, unknown
from ..runs.writer import write_whole
from ..training.device import choose_device
from . import gpu_steps
from .goals import Goal, goals, goals_table
from .gpu_steps import Rows, Sizes, Task
from .limited import DONE, LEFT_OUT, Ended, read_rows, run_limited
from .writing import markdown_table

MINUTES = 12.0  # for which the limits are
LEAST = 3.0  # seconds: a step that has less is not begun


class Step(NamedTuple):
    """A step of the check."""

    name: str  # of its files
    seconds: float | None  # its limit; None: what the others left
    function: Callable[..., Rows]
    arguments: tuple[str, ...] = ()


STEPS = (
    Step("machine", 30, gpu_steps.machine),
    Step("tests", 60, gpu_steps.tests),
    Step("pieces", 75, gpu_steps.pieces),
    Step("float32", 50, gpu_steps.steps, ("float32",)),
    Step("bfloat16", 45, gpu_steps.steps, ("bfloat16",)),
    Step("channels_last", 90, gpu_steps.steps, ("channels_last",)),
    Step("compiled", 150, gpu_steps.steps, ("compiled",)),
    Step("packed", 75, gpu_steps.packed),
    Step("evaluation", 30, gpu_steps.evaluation),
    Step("study", None, gpu_steps.study),
)


class Result(NamedTuple):
    """A step's end and its rows."""

    name: str
    ended: Ended
    limit: float  # seconds
    rows: list[dict[str, Any]]


def gpu_check(
    device: str,
    minutes: float,
    out: Path,
    sizes: Sizes,
    only: Collection[str] = (),
    say: Callable[[str], object] = print,
) -> int:
    """Take the steps and write their results; the number of steps that failed or were killed.

    Every step runs in a process of its own, and what it has measured is written at once: its rows to
    ``OUT/NAME.jsonl``, what it prints to ``OUT/NAME.log``, how it ended to ``OUT/NAME.json``. After each of them the
    results of all, with those of earlier calls, are in ``OUT/gpu_check.json`` and ``OUT/gpu_check.md``.

    Args:
        minutes: for all steps; their limits are shares of it.
        only: names of steps, if not all.
        say: prints a line.

    Raises:
        UserError: there is no such device or step.
    """
    end = time.monotonic() + 60 * minutes
    choose_device(device)
    for name in only:
        if name not in {step.name for step in STEPS}:
            raise UserError(unknown("step", name, (step.name for step in STEPS)))
    out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for step in STEPS:
        if only and step.name not in only:
            continue
        left = end - time.monotonic()
        limit = left if step.seconds is None else min(left, step.seconds * minutes / MINUTES)
        result = _take(step, device, out, sizes, limit)
        failed += result.ended.status not in (DONE, LEFT_OUT)
        reason = f": {result.ended.reason}" if result.ended.reason else ""
        say(f"{step.name}: {result.ended.status} in {result.ended.seconds:.0f} of {limit:.0f} s{reason}")
        write_summary(out, device, minutes)
    return failed


def _take(step: Step, device: str, out: Path, sizes: Sizes, limit: float) -> Result:
    rows, log = out / f"{step.name}.jsonl", out / f"{step.name}.log"
    task = Task(device, sizes, out, time.monotonic() + limit)
    if limit < LEAST:
        write_whole(rows, b"")
        ended = Ended(LEFT_OUT, "no time was left", 0.0)
    else:
        fork = torch.device(device).type == "cpu"  # CUDA does not survive a fork
        ended = run_limited(step.function, (task, *step.arguments), limit, rows, log, fork)
    record = {**ended._asdict(), "limit": limit}
    write_whole(out / f"{step.name}.json", (json.dumps(record, indent=1) + "\n").encode())
    return Result(step.name, ended, limit, read_rows(rows))


def read_results(out: Path) -> list[Result]:
    """The results of the steps that were taken, in their order."""
    found = []
    for step in STEPS:
        path = out / f"{step.name}.json"
        if path.exists():
            record = json.loads(path.read_text(encoding="utf-8"))
            limit = record.pop("limit")
            found.append(Result(step.name, Ended(**record), limit, read_rows(out / f"{step.name}.jsonl")))
    return found


def write_summary(out: Path, device: str, minutes: float) -> str:
    """Write gpu_check.json and gpu_check.md; the latter's text."""
    results = read_results(out)
    reached = goals([row for result in results for row in result.rows])
    everything = {
        "device": device,
        "minutes": minutes,
        "goals": [{**goal._asdict(), "met": goal.is_met} for goal in reached],
        "steps": [{"name": r.name, **r.ended._asdict(), "limit": r.limit, "rows": r.rows} for r in results],
    }
    write_whole(out / "gpu_check.json", (json.dumps(everything, indent=1) + "\n").encode())
    text = summary(results, reached)
    write_whole(out / "gpu_check.md", f"{text}\n".encode())
    return text


def summary(results: Sequence[Result], reached: Sequence[Goal]) -> str:
    """Markdown: the goals, how the steps ended, and their rows."""
    rows = [row for result in results for row in result.rows]
    ends = [
        [r.name, r.ended.status, f"{r.ended.seconds:.0f}", f"{r.limit:.0f}", len(r.rows), r.ended.reason]
        for r in results
    ]
    parts = [
        *_machine(rows),
        goals_table(reached),
        markdown_table(["step", "ended", "seconds", "limit", "results", "reason"], ends),
    ]
    speeds = [
        [row["piece"], row["variant"], row["batch"], f"{row['images_per_second']:,.0f}",
         f"{1e3 * row['batch'] / row['images_per_second']:,.2f}"]
        for row in rows if row["kind"] in ("step", "packed")
    ]  # fmt: skip
    pieces = [
        [row["piece"], f"{row['baseline_ms']:.2f}", f"{row['augmented_ms']:.2f}", f"{row['time_ratio']:.2f}",
         f"{row['goal']:.2f}"]
        for row in rows if row["kind"] == "piece"
    ]  # fmt: skip
    if speeds:
        parts.append(markdown_table(["step", "variant", "batch", "images/s", "ms per batch"], speeds))
    if pieces:
        parts.append(markdown_table(["piece", "baseline ms", "with ms", "ratio", "goal of the ratio"], pieces))
    parts += [_sentence(row) for row in rows if row["kind"] in SENTENCES]
    return "\n\n".join(parts)


SENTENCES = {
    "evaluation": "Evaluation of {batch:,} rows, {piece}: {images_per_second:,.0f} rows/s.",
    "study": "Study: {seeds} seeds, {trainings} trainings, report in {report}.",
    "tests": "Tests: {counts}.",
}


def _sentence(row: dict[str, Any]) -> str:
    ends = [outcome for _, outcome in row.get("outcomes", ())]
    counts = ", ".join(f"{ends.count(end)} {end}" for end in sorted(set(ends)))
    return SENTENCES[row["kind"]].format(**row, counts=counts or "none")


def _machine(rows: Sequence[dict[str, Any]]) -> list[str]:
    parts = []
    for row in rows:
        if row["kind"] == "machine":
            about = row["environment"]
            gpu = f"{row['gpu']} ({row['gpu_bytes'] / 1e9:.0f} GB), " if "gpu" in row else "No GPU, "
            parts.append(f"{gpu}{about['cpu']}, {row['cores']} cores, torch {about['packages']['torch']}.")
        elif row["kind"] == "roofline":
            parts.append(
                f"At most {row['flops'] / 1e12:,.3g} TFLOP/s in {row['precision']}, {row['bytes'] / 1e9:,.0f} GB/s, "
                f"{row['launch'] * 1e6:.2g} microseconds per launch."
            )
    return parts
