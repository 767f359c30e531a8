"""Values of the report as text. A missing value is a dash."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..statistics import Interval
from .cells import Estimate

if TYPE_CHECKING:
    from .table import Column

MISSING = "–"


class Formatted(NamedTuple):
    text: str
    interval: str  # of an estimate; "" of anything else
    key: str  # what the page sorts the column by; "" for what is missing


def formatted(value: Any, column: "Column") -> Formatted:
    """A value of a table, as its column formats it."""
    if value is None:
        return Formatted(MISSING, "", "")
    if isinstance(value, Estimate):
        mean = number(value.mean, column.digits, column.signed)
        return Formatted(mean, interval(value.interval, column.digits), sortable(value.mean))
    if isinstance(value, Interval):
        return Formatted(interval(value, column.digits), "", sortable(value.low))
    if column.kind == "p":
        return Formatted(p_value(value), "", sortable(value))
    if column.kind == "memory":
        return Formatted(memory(value), "", sortable(value))
    if isinstance(value, float):
        return Formatted(number(value, column.digits, column.signed), "", sortable(value))
    return Formatted(str(value), "", str(value))


def number(value: float | None, digits: int = 2, signed: bool = False) -> str:
    """A number with a true minus sign.

    Example:
        >>> number(-1.236), number(0.5, signed=True), number(None)
        ('−1.24', '+0.50', '–')
    """
    if value is None:
        return MISSING
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    if float(text) == 0:  # no -0.00 and no +0.00
        text = f"{0:.{digits}f}"
    return text.replace("-", "−")


def interval(value: Interval | None, digits: int = 2) -> str:
    """
    Example:
        >>> interval(Interval(-0.5, 2.0)), interval(None)
        ('−0.50 to 2.00', '–')
    """
    return MISSING if value is None else f"{number(value.low, digits)} to {number(value.high, digits)}"


def estimate(value: Estimate, digits: int = 2, signed: bool = False) -> str:
    """The mean with its interval behind it.

    Example:
        >>> estimate(Estimate((1.0, 2.0, 3.0)), digits=1), estimate(Estimate((1.0,)), digits=1)
        ('2.0 [−0.5 to 4.5]', '1.0 [–]')
    """
    return f"{number(value.mean, digits, signed)} [{interval(value.interval, digits)}]"


def sortable(value: float | None) -> str:
    """What a column is sorted by; nothing for what is missing.

    Example:
        >>> sortable(1 / 3), sortable(None)
        ('0.333333333', '')
    """
    return "" if value is None else f"{value:.9g}"


def p_value(value: float | None) -> str:
    """Three significant digits.

    Example:
        >>> p_value(1.0), p_value(0.0625), p_value(0.03125), p_value(0.00195), p_value(0.00002)
        ('1', '0.0625', '0.0312', '0.00195', '<0.0001')
    """
    if value is None:
        return MISSING
    if value >= 0.9995:
        return "1"
    if value < 0.0001:
        return "<0.0001"
    return f"{value:.3g}"


def p_sentence(value: float | None) -> str:
    """A p-value in a sentence.

    Example:
        >>> p_sentence(0.03125), p_sentence(0.00002)
        ('p = 0.0312', 'p < 0.0001')
    """
    text = p_value(value)
    return f"p < {text[1:]}" if text.startswith("<") else f"p = {text}"


def memory(value: float | None) -> str:
    """Bytes as MiB.

    Example:
        >>> memory(3 * 2**29), memory(None)
        ('1,536', '–')
    """
    return MISSING if value is None else f"{value / 2**20:,.0f}"


def span(low: int, high: int) -> str:
    """
    Example:
        >>> span(4, 4), span(4, 9600)
        ('4', '4–9,600')
    """
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def setting(value: Any) -> str:
    """A parameter's value, numbers to four digits.

    Example:
        >>> setting(0.012345678), setting(3), setting("adjacent")
        ('0.01235', '3', 'adjacent')
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def searched(space: Mapping[str, Any]) -> str:
    """A parameter's range.

    Example:
        >>> searched({"low": 1e-6, "high": 1, "log": True}), searched({"choices": ["a", "b"]})
        ('1e-06 to 1, log', 'a, b')
    """
    if "choices" in space:
        return ", ".join(map(setting, space["choices"]))
    return f"{setting(space['low'])} to {setting(space['high'])}{', log' if space.get('log') else ''}"
