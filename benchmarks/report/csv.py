"""Tables for further work, as CSV."""

import csv
import io

from benchmarks.report.tables import Table

DIGITS = 9  # significant; the last digits of a double differ between processors and versions of scipy


def write_csv(table: Table) -> str:
    """The table with a head of keys; nothing where the value is missing, and nothing at all without rows."""
    if not table.rows:
        return ""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(column.title for column in table.columns)
    writer.writerows([_cell(value) for value in row.values] for row in table.rows)
    return buffer.getvalue()


def _cell(value: object) -> object:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else value
