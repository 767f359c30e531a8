"""A table of the report as data: its columns, and what each row has in them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from .cells import Cell, Comparison
from .labels import loss_name, method_name


class Column(NamedTuple):
    """The head of a column, and how its values are formatted."""

    title: str
    note: str = ""  # qualifies the title
    kind: str = "number"  # number, p, memory, text, code; numbers may be estimates and intervals too
    digits: int = 2
    signed: bool = False


class Row(NamedTuple):
    values: tuple[Any, ...]  # str, int, float, Estimate, Interval; None where there is no value
    method: str = ""  # that the row is about, as configs spell it; "" where it is about none


class Table(NamedTuple):
    key: str  # unique in the report
    title: str  # "" where the section's title is enough
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()  # below the table
    paper: bool = True  # whether LaTeX has it
    folded: str = ""  # the page shows it on demand, under these words


class Section(NamedTuple):
    key: str  # also its anchor on the page
    title: str
    notes: tuple[str, ...]
    tables: tuple[Table, ...]
    about_figures: str = ""  # on the page


Cells = Sequence[tuple[Column, Callable[[Any], Any]]]  # of each column: its head, and the value for a row's subject

LOSS, METHOD = Column("Loss", kind="text"), Column("Method", kind="text")
NAMES: Cells = [(LOSS, lambda of: loss_name(of.loss)), (METHOD, lambda of: method_name(of.method))]
OF_COMPARISON: Cells = [
    (LOSS, lambda c: loss_name(c.method.loss)),
    (METHOD, lambda c: method_name(c.method.method)),
]


def table_of(key: str, title: str, caption: str, cells: Cells, subjects: Iterable[Any], **more: Any) -> Table:
    rows = [Row(tuple(value(subject) for _, value in cells), _method_of(subject)) for subject in subjects]
    return Table(key, title, caption, tuple(column for column, _ in cells), tuple(rows), **more)


def _method_of(subject: Any) -> str:
    """The method that a row is about: of a comparison, a cell or a (cell, parameter) pair; "" of raw features."""
    cell = subject[0] if type(subject) is tuple else subject
    if isinstance(cell, Cell) and cell.is_raw:
        return ""
    return str(cell.method.method if isinstance(cell, Comparison) else cell.method)


def percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
