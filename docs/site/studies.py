"""The committed studies of benchmarks/results/ as rows of comparisons, for the leaderboard and the README's picture.

All numbers come from the files of the studies. The first versions of comparisons.csv had no verdicts, which then follow
from their p-values by the rules of docs/statistics.md.
"""

import csv
import json
import re
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from pml_aug_benchmarks.report.labels import FEATURES
from pml_aug_benchmarks.report.verdicts import ALPHA
from pml_aug_benchmarks.runs.schema import TASKS

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
NAME = re.compile(r"(?P<machine>.+?)-(?P<date>\d{4}-\d\d-\d\d)(?:-(?P<name>.+))?")


class Row(NamedTuple):
    """One comparison; points are percent of MAP@R, or of Top-1 for classifiers."""

    setting: str  # such as "head on pretrained features, tuned"
    metric: str
    data: str
    loss: str
    method: str
    against: str  # none (the baseline), a control, raw features, or the loss trained without mixtures
    level: float | None  # of the method, points
    difference: float  # points
    low: float | None  # of the t-interval
    high: float | None
    holm_p: float | None
    seeds: int
    folds: int
    verdict: str


class Study(NamedTuple):
    """One folder of results."""

    folder: str
    title: str
    setting: str
    content: str
    commands: list[str]
    machine: str
    rows: list[Row]


def read_studies(results: Path) -> list[Study]:
    """All studies, the newest first."""
    folders = sorted(
        (path.parent for path in results.glob("*/comparisons.csv")), key=lambda folder: date(folder.name), reverse=True
    )
    told = described(results)
    return [read_study(folder, *told[folder.name]) for folder in folders]


def described(results: Path) -> dict[str, tuple[str, str]]:
    """Setting and content of each folder, from the table in the README beside them."""
    rows = re.findall(r"^\| `([^`]+)` \|([^|]*)\|[^|]*\|([^|]*)\|$", (results / "README.md").read_text(), re.MULTILINE)
    return {folder: (setting.strip(), content.strip()) for folder, setting, content in rows}


def read_study(folder: Path, setting: str, content: str) -> Study:
    environment = json.loads((folder / "environment.json").read_text())
    commands = environment.get("commands") or [environment["command"]]
    parts = NAME.fullmatch(folder.name)
    name = parts["name"] if parts else folder.name
    title = f"{name or ' '.join(commands[0].split()[3:5])}, {date(folder.name)}".replace(
        "-", " ", (name or "").count("-")
    )
    machine = f"{environment['gpu'] or environment['cpu']}, torch {environment['packages']['torch']}"
    return Study(folder.name, title, setting, content, commands, machine, read_rows(folder, setting))


def read_rows(folder: Path, setting: str) -> list[Row]:
    """The comparisons by the rule that is no oracle, of the metric that decides; the largest difference first."""
    with (folder / "results.csv").open() as file:
        scores: dict[tuple[str, str, str], list[float]] = {}
        results = csv.DictReader(file)
        primary = next(task.primary for task in TASKS.values() if task.primary in (results.fieldnames or ()))
        for line in results:
            if line["oracle"] == "False":
                scores.setdefault((line["data"], line["loss"], line["method"]), []).append(float(line[primary]))
    honest = "validation"
    with (folder / "comparisons.csv").open() as file:
        lines = [line for line in csv.DictReader(file) if line["metric"] == primary]
    if not any(line["selection"] == honest for line in lines):
        honest = "last"
    rows = []
    for line in lines:
        if line["selection"] != honest:
            continue
        key = (line["data"], line["loss"], line["method"])
        rows.append(
            Row(
                setting_of(line["data"], setting),
                primary,
                *key,
                against=line.get("against") or "none",
                level=100 * fmean(scores[key]) if key in scores else None,
                difference=float(line["difference_points"]),
                low=_number(line["t_low"]),
                high=_number(line["t_high"]),
                holm_p=_number(line["holm_p"]),
                seeds=int(line["seeds"]),
                folds=int(line["folds"]),
                verdict=line.get("verdict") or verdict(line),
            )
        )
    return sorted(rows, key=lambda row: (row.against != "none", row.against in FEATURES, -row.difference))


def setting_of(data: str, setting: str) -> str:
    """The setting of a study on one of its data sets.

    Example:
        >>> setting_of("glyphs", "emoji: head on features; glyphs: network from scratch")
        'network from scratch'
        >>> setting_of("glyphs", "head on features")
        'head on features'
    """
    parts = (part.partition(": ") for part in setting.split("; "))
    return next((found for name, colon, found in parts if colon and name == data), setting)


def verdict(line: dict[str, str]) -> str:
    """What follows from the p-values of a comparison; "" for differences that are described and not tested."""
    p, holm_p = _number(line["p"]), _number(line["holm_p"])
    smallest, equivalence = _number(line["smallest_holm_p"]), _number(line["holm_equivalence_p"])
    if p is None or holm_p is None:
        return ""
    gain = float(line["difference_points"]) > 0
    if holm_p <= ALPHA:
        return "established gain" if gain else "established loss"
    if equivalence is not None and equivalence <= ALPHA:
        return "equivalent"
    if p <= ALPHA:
        return "nominally better" if gain else "nominally worse"
    return "underpowered" if smallest is not None and smallest > ALPHA else "not established"


def _number(text: str) -> float | None:
    return float(text) if text else None


def date(folder: str) -> str:
    """The day in a folder's name.

    Example:
        >>> date("amd-epyc-2-cores-2026-11-29-frozen-emoji-suite")
        '2026-11-29'
    """
    found = NAME.fullmatch(folder)
    return found["date"] if found else ""
