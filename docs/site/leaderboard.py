"""The leaderboard: every committed study as a sortable table, drawn when the site is built.

A hook of MkDocs that fills docs/leaderboard.md.
"""

from collections.abc import Iterable, Sequence
from html import escape

from mkdocs.structure.pages import Page
from pml_aug_benchmarks.report.formatting import number, p_value
from pml_aug_benchmarks.report.labels import FEATURES, loss_name, method_name
from studies import RESULTS, Row, Study, date, read_studies  # beside this file

MARKER = "<!-- leaderboard -->"
SIGNS = {"established gain": "▲", "nominally better": "△", "established loss": "▼", "nominally worse": "▽",
         "equivalent": "="}  # fmt: skip
HEADS = ("Method", "Loss", "Difference", "Verdict", "Data", "p, Holm", "Score", "Seeds")
OVERVIEW = (*HEADS, "Setting", "Study")
OF_STUDY = ("Method", "Against", *HEADS[1:], "Folds")


def on_page_markdown(markdown: str, page: Page, **_: object) -> str | None:
    if MARKER not in markdown:
        return None
    return markdown.replace(MARKER, leaderboard(read_studies(RESULTS)))


def leaderboard(studies: Sequence[Study]) -> str:
    """The page below its introduction, as Markdown with HTML tables."""
    compared = [(study, row) for study in studies for row in study.rows if row.against == "none"]
    compared.sort(key=lambda pair: -pair[1].difference)
    scale = max((abs(bound) for _, row in compared for bound in _bounds(row)), default=1.0)
    overview = [[_method(row), *_cells(row, scale), _text(row.setting), _link(study)] for study, row in compared]
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
        f"{study.content}. Setting: {study.setting}. {study.machine}; "
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
        f'<td data-sort="{row.difference}" class="difference {kind}">{shown}</td>',
        f'<td class="verdict {kind}">{sign}{escape(row.verdict or "described")}</td>',
        _text(row.data.replace("_", " ")),
        _value(row.holm_p, "–" if row.holm_p is None else p_value(row.holm_p)),
        _value(row.level, "–" if row.level is None else f"{row.level:.1f}"),
        _value(row.seeds),
    ]


def _picture(row: Row, scale: float) -> str:
    """The interval beside zero; `scale` in points is at both ends."""
    low, high = _bounds(row)
    x = [70 + 66 * value / scale for value in (low, high, row.difference)]
    return (
        '<svg viewBox="0 0 140 12" aria-hidden="true"><path class="zero" d="M70 0v12"/>'
        f'<path d="M{x[0]:.1f} 6H{x[1]:.1f}"/><circle cx="{x[2]:.1f}" cy="6" r="2.5"/></svg>'
    )


def _bounds(row: Row) -> tuple[float, float]:
    return (row.difference if row.low is None else row.low, row.difference if row.high is None else row.high)


def _link(study: Study) -> str:
    return f'<td data-sort="{date(study.folder)}"><a href="#{_anchor(study)}">{escape(study.title)}</a></td>'


def _anchor(study: Study) -> str:
    return f"study-{study.folder}"


def _text(value: str) -> str:
    return f"<td>{escape(value)}</td>"


def _value(value: float | None, shown: str | None = None) -> str:
    return f'<td data-sort="{"" if value is None else value}" class="number">{value if shown is None else shown}</td>'
