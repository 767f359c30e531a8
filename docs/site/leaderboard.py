"""The leaderboard: every committed study of benchmarks/results/ as a sortable table, drawn when the site is built.

A hook of MkDocs that fills docs/leaderboard.md. All numbers come from the files of the studies; the first versions of
comparisons.csv had no verdicts, which then follow from their p-values by the rules of docs/statistics.md.
"""

import csv
import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from mkdocs.structure.pages import Page

from benchmarks.report.formatting import number, p_value
from benchmarks.report.labels import FEATURES, loss_name, method_name
from benchmarks.report.verdicts import ALPHA
from benchmarks.runs.schema import PRIMARY

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
MARKER = "<!-- leaderboard -->"
NAME = re.compile(r"(?P<machine>.+?)-(?P<date>\d{4}-\d\d-\d\d)(?:-(?P<name>.+))?")
SIGNS = {"established gain": "▲", "nominally better": "△", "established loss": "▼", "nominally worse": "▽",
         "equivalent": "="}  # fmt: skip
HEADS = ("Method", "Loss", "Data", "Difference", "Verdict", "p, Holm", "MAP@R", "Seeds")
OVERVIEW = (*HEADS, "Setting", "Study")
OF_STUDY = ("Method", "Against", *HEADS[1:], "Folds")


class Row(NamedTuple):
    """One comparison; points are percent of MAP@R."""

    data: str
    loss: str
    method: str
    against: str  # none (the baseline), a control, or features as they are
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


def on_page_markdown(markdown: str, page: Page, **_: object) -> str | None:
    if MARKER not in markdown:
        return None
    return markdown.replace(MARKER, leaderboard(read_studies(RESULTS)))


def read_studies(results: Path) -> list[Study]:
    """All studies, the newest first."""
    folders = sorted((path.parent for path in results.glob("*/comparisons.csv")), key=_date, reverse=True)
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
    title = f"{name or ' '.join(commands[0].split()[3:5])}, {_date(folder)}".replace("-", " ", (name or "").count("-"))
    machine = f"{environment['gpu'] or environment['cpu']}, torch {environment['packages']['torch']}"
    return Study(folder.name, title, setting, content, commands, machine, read_rows(folder))


def read_rows(folder: Path) -> list[Row]:
    """The comparisons by the rule that is no oracle, of the metric that decides; the largest difference first."""
    with (folder / "results.csv").open() as file:
        scores: dict[tuple[str, str, str], list[float]] = {}
        for line in csv.DictReader(file):
            if line["oracle"] == "False":
                scores.setdefault((line["data"], line["loss"], line["method"]), []).append(float(line[PRIMARY]))
    honest = "validation"
    with (folder / "comparisons.csv").open() as file:
        lines = [line for line in csv.DictReader(file) if line["metric"] == PRIMARY]
    if not any(line["selection"] == honest for line in lines):
        honest = "last"
    rows = []
    for line in lines:
        if line["selection"] != honest:
            continue
        key = (line["data"], line["loss"], line["method"])
        rows.append(
            Row(
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


def leaderboard(studies: Sequence[Study]) -> str:
    """The page below its introduction, as Markdown with HTML tables."""
    compared = [(study, row) for study in studies for row in study.rows if row.against == "none"]
    compared.sort(key=lambda pair: -pair[1].difference)
    scale = max((abs(bound) for _, row in compared for bound in _bounds(row)), default=1.0)
    overview = [[_method(row), *_cells(row, scale), _text(study.setting), _link(study)] for study, row in compared]
    parts = ["## All comparisons with a baseline\n", _table(OVERVIEW, overview, filtered=True)]
    return "\n\n".join([*parts, *map(_section, studies)])


def _section(study: Study) -> str:
    scale = max((abs(bound) for row in study.rows for bound in _bounds(row)), default=1.0)
    rows = []
    for row in study.rows:
        against = FEATURES[row.against] if row.against in FEATURES else method_name(row.against)
        rows.append([_method(row), _text(against), *_cells(row, scale), _value(row.folds)])
    commands = "\n".join(study.commands)
    return (
        f"## {study.title} {{ #{_anchor(study)} }}\n\n"
        f"{study.content}. {study.setting[:1].upper()}{study.setting[1:]}; {study.machine}; "
        f"[report](benchmarks/results/{study.folder}/report.md).\n\n"
        f"```sh\n{commands}\n```\n\n{_table(OF_STUDY, rows)}"
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], filtered: bool = False) -> str:
    box = '<input class="filter" type="search" placeholder="Filter: iaa emoji gain" aria-label="Filter the rows">\n'
    head = "".join(f'<th><button type="button">{head}</button></th>' for head in heads)
    body = "\n".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    table = f'<table class="sortable"><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>'
    return f'<div class="board">\n{box if filtered else ""}<div class="scroll">\n{table}\n</div>\n</div>'


def _method(row: Row) -> str:
    return _text(method_name(row.method))


def _cells(row: Row, scale: float) -> list[str]:
    """Those under HEADS, but the first."""
    sign = f'<b aria-hidden="true">{SIGNS.get(row.verdict, "○")}</b> ' if row.verdict else ""
    limits = "" if row.low is None or row.high is None else f" [{number(row.low)} to {number(row.high)}]"
    shown = f"{_picture(row, scale)} {number(row.difference, signed=True)}{limits}"
    kind = row.verdict.replace(" ", "-")
    return [
        _text(loss_name(row.loss)),
        _text(row.data.replace("_", " ")),
        f'<td data-sort="{row.difference}" class="difference {kind}">{shown}</td>',
        f'<td class="verdict {kind}">{sign}{escape(row.verdict or "described")}</td>',
        _value(row.holm_p, "–" if row.holm_p is None else p_value(row.holm_p)),
        _value(row.level, "–" if row.level is None else f"{row.level:.1f}"),
        _value(row.seeds),
    ]


def _picture(row: Row, scale: float) -> str:
    """The interval beside zero; `scale` in points is at both ends."""
    low, high = _bounds(row)
    x = [60 + 56 * value / scale for value in (low, high, row.difference)]
    return (
        '<svg viewBox="0 0 120 12" width="120" height="12" aria-hidden="true"><path class="zero" d="M60 0v12"/>'
        f'<path d="M{x[0]:.1f} 6H{x[1]:.1f}"/><circle cx="{x[2]:.1f}" cy="6" r="3"/></svg>'
    )


def _bounds(row: Row) -> tuple[float, float]:
    return (row.difference if row.low is None else row.low, row.difference if row.high is None else row.high)


def _link(study: Study) -> str:
    return f'<td data-sort="{_date(Path(study.folder))}"><a href="#{_anchor(study)}">{escape(study.title)}</a></td>'


def _anchor(study: Study) -> str:
    return f"study-{study.folder}"


def _text(value: str) -> str:
    return f"<td>{escape(value)}</td>"


def _value(value: float | None, shown: str | None = None) -> str:
    return f'<td data-sort="{"" if value is None else value}" class="number">{value if shown is None else shown}</td>'


def _number(text: str) -> float | None:
    return float(text) if text else None


def _date(folder: Path) -> str:
    found = NAME.fullmatch(folder.name)
    return found["date"] if found else ""
