"""Deterministic SVG from matplotlib that takes the page's colours and font."""

import io
import re
from contextlib import AbstractContextManager
from html import escape
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas

# placeholders that the page's colours replace, so that one figure serves light and dark
INK, FAINT, PAPER = "#010203", "#040506", "#070809"
_PAGE_COLOURS = {INK: "var(--ink)", FAINT: "var(--rule)", PAPER: "var(--paper)"}
# middle tones: at least 3 : 1 against white and against near-black
METHOD_COLOURS = (
    "#3b82d6", "#d9701e", "#2f9e64", "#a45ee5", "#e0487a", "#1d97a8", "#a3852a",
    "#6f86b8", "#c0504d", "#7a9a2e", "#c65fb8", "#8a6f5a", "#5b9a8b", "#7d6cc9",
)  # fmt: skip
BASELINE_COLOUR = "#84868f"

_RC: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.facecolor": "none",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # names with dollar signs are names
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 9,
}


class Figure(NamedTuple):
    svg: str
    alt: str


def canvas(width: float, height: float) -> Canvas:
    """An empty figure, in inches, drawn without any global state of pyplot."""
    return Canvas(figsize=(width, height), layout="constrained")


def style() -> AbstractContextManager[None]:
    """The settings within which a figure is made and saved."""
    return mpl.rc_context(_RC)


def method_colours(methods: list[str]) -> dict[str, str]:
    """A colour for each method of the report, the same in all its figures; grey for the baseline."""
    augmented = sorted(set(methods) - {"none", "none+"})
    colours = {method: METHOD_COLOURS[i % len(METHOD_COLOURS)] for i, method in enumerate(augmented)}
    return {"none": BASELINE_COLOUR, "none+": BASELINE_COLOUR, **colours}


def to_svg(figure: Canvas, name: str, alt: str) -> str:
    """The figure as an <svg> element without fixed size, date or ids that another figure could share.

    Args:
        name: unique on the page; it salts the ids of clip paths and markers.
        alt: what a reader who cannot see the figure should know.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (xmlns:\w+|version)="[^"]*"', "", svg)
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda match: match[0] if match[1] in used else "", svg)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r"'DejaVu Sans'(, [^;\"]*)?", "var(--font)", svg)
    for placeholder, colour in _PAGE_COLOURS.items():
        svg = svg.replace(placeholder, colour)
    opening, _, rest = svg.partition(">")
    view_box = re.search(r'viewBox="[^"]*"', opening)
    assert view_box is not None
    return f'<svg {view_box[0]} role="img" aria-label="{escape(alt)}">{rest}'.strip()
