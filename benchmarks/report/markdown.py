"""The report as Markdown."""

import re
from collections.abc import Iterator

from .contents import Contents
from .formatting import formatted
from .table import Column, Table

_MARKUP = re.compile(r"[\\`*|]|\](?=[(\[:])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|<(?=[A-Za-z/!?])|&(?=[#A-Za-z])")
_ENTITIES = {"<": "&lt;", "&": "&amp;"}


def escaped(text: str, code: bool = False) -> str:
    r"""Text whose characters mean nothing to Markdown or HTML.

    Args:
        text: of any origin.
        code: whether backticks in it mark code, as in our own sentences.

    Example:
        >>> print(escaped("a|b <script> __x__ small_cnn"))
        a\|b &lt;script> \_\_x\_\_ small_cnn
    """

    def replacement(match: re.Match[str]) -> str:
        found = match[0]
        return found if code and found == "`" else _ENTITIES.get(found, f"\\{found}")

    return _MARKUP.sub(replacement, " ".join(text.split()))


def write_markdown(contents: Contents) -> str:
    """The whole report but its figures and gallery."""
    return "\n".join(_lines(contents)) + "\n"


def _lines(contents: Contents) -> Iterator[str]:
    yield from (f"# {escaped(contents.title)}", "", escaped(" ".join(contents.overview), code=True))
    for title, found in (("", contents.findings), ("What methods add to their controls:", contents.attributions)):
        if found:
            yield from ("", title, "") if title else ("",)
        for finding in found:
            sentence = escaped(finding.sentence, code=True)
            yield f"- **{escaped(finding.headline)}** ({finding.verdict}). {sentence}"
    if contents.cautions:
        yield ""
        yield from (f"- {escaped(caution, code=True)}" for caution in contents.cautions)
    if contents.recommendations:
        yield from ("", "## What would strengthen the evidence", "")
        for number, sentence in enumerate(contents.recommendations, start=1):
            yield f"{number}. {escaped(sentence, code=True)}"
    for section in contents.sections:
        yield from ("", f"## {escaped(section.title)}")
        for note in section.notes:
            yield from ("", escaped(note, code=True))
        for table in section.tables:
            yield from _table(table)
    yield from ("", "## Runs", "", escaped(contents.about_runs, code=True))
    for data, described in contents.about_data.items():
        facts = "; ".join(f"{name} {value}" for name, value in described.items())
        yield from ("", escaped(f"{data}: {facts}."))
    environment = "; ".join(f"{name} {value}" for name, value in contents.environment.items())
    yield from ("", escaped(f"Environment: {environment}."))
    yield from ("", "<details><summary>Run directories</summary>", *_table(contents.runs), "", "</details>")


def _table(table: Table) -> Iterator[str]:
    if table.title:
        yield from ("", f"### {escaped(table.title)}")
    yield from ("", escaped(table.caption, code=True), "", _row(map(_head, table.columns)))
    yield _row("---" if column.kind in ("text", "code") else "---:" for column in table.columns)
    for row in table.rows:
        yield _row(_cell(value, column) for value, column in zip(row.values, table.columns, strict=True))
    for note in table.notes:
        yield from ("", escaped(note, code=True))


def _row(cells: Iterator[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _head(column: Column) -> str:
    return escaped(f"{column.title}, {column.note}" if column.note else column.title)


def _cell(value: object, column: Column) -> str:
    found = formatted(value, column)
    text = escaped(found.text)
    if column.kind == "code" and value is not None and "`" not in found.text:
        text = f"`{found.text}`"
    return f"{text} [{found.interval}]" if found.interval else text
