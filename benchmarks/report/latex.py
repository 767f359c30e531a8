"""The report's tables for a paper."""

import re
from collections.abc import Iterator

from .contents import Contents
from .formatting import formatted
from .table import Column, Table

_SPECIAL = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": "'"}
    | {"<": "$<$", ">": "$>$", "|": "$|$", "−": "$-$", "×": r"$\times$", "–": "--", "“": "``", "”": "''"}
    | {"\u00a0": "~"}
)


def escaped(text: str) -> str:
    r"""Text whose characters mean nothing to LaTeX; what is not ASCII becomes a question mark.

    Example:
        >>> print(escaped("a\\input{b}_50 %"))
        a\textbackslash{}input\{b\}\_50 \%
    """
    return " ".join(text.split(" ")).translate(_SPECIAL).encode("ascii", errors="replace").decode()


def write_latex(contents: Contents) -> str:
    """Every table meant for a paper; they need the package booktabs."""
    head = r"% Needs \usepackage{booktabs}. Points; 95 % t-intervals over seeds in brackets."
    tables = [table for section in contents.sections for table in section.tables if table.paper]
    lines = [head, f"% Runs: set {contents.digest}.", *(line for table in tables for line in ("", *_table(table)))]
    return "\n".join(lines) + "\n"


def _table(table: Table) -> Iterator[str]:
    alignment = "".join("l" if column.kind in ("text", "code") else "r" for column in table.columns)
    yield from (r"\begin{table}", r"  \centering\small", rf"  \caption{{{_one_line(table.caption)}}}")
    yield rf"  \label{{tab:{re.sub('[^a-z0-9]+', '-', table.key.lower()).strip('-')}}}"
    yield rf"  \begin{{tabular}}{{{alignment}}}"
    yield from (r"    \toprule", _row(_head(column) for column in table.columns), r"    \midrule")
    for row in table.rows:
        yield _row(_cell(value, column) for value, column in zip(row.values, table.columns, strict=True))
    yield from (r"    \bottomrule", r"  \end{tabular}", r"\end{table}")


def _row(cells: Iterator[str]) -> str:
    return rf"    {' & '.join(cells)} \\"


def _head(column: Column) -> str:
    return _one_line(f"{column.title} ({column.note})" if column.note else column.title)


def _cell(value: object, column: Column) -> str:
    found = formatted(value, column)
    return _one_line(f"{found.text} [{found.interval}]" if found.interval else found.text)


def _one_line(text: str) -> str:
    return escaped(re.sub(r"[\r\n\t]+", " ", text))
