"""Draws docs/differences.png, the README's picture: what each method changed, in all committed studies.

python docs/site/differences.py [FILE]
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pml_aug_benchmarks.report.labels import loss_name, method_name
from pml_aug_benchmarks.runs.schema import PRIMARY
from studies import RESULTS, Row, Study, read_studies  # beside this file

PICTURE = Path(__file__).parents[1] / "differences.png"
COLORS = {"established gain": "#1565c0", "established loss": "#c62828"}
OTHER = "#616161"
MARKERS = "osD^vPX*<>hp"


def draw(studies: Sequence[Study]) -> pyplot.Figure:
    """A panel for each setting: differences of test MAP@R with their intervals, one line for each loss and method.

    Filled markers are established differences, their shape is the data; controls are left out.
    """
    rows = [row for study in studies for row in study.rows if row.metric == PRIMARY]
    controls = {row.against for row in rows}
    rows = [row for row in rows if row.against == "none" and row.method not in controls and row.verdict != "no verdict"]
    lines = sorted({(row.loss, row.method) for row in rows}, reverse=True)
    series = sorted(set(map(_series, rows)))
    settings = sorted({_setting(row)[0] for row in rows})
    figure, panels = pyplot.subplots(1, len(settings), figsize=(9, 1.6 + 0.42 * len(lines)), sharey=True, squeeze=False)
    for axes, setting in zip(panels[0], settings, strict=True):
        of_setting = [row for row in rows if _setting(row)[0] == setting]
        for line, key in enumerate(lines):
            marks = sorted((row for row in of_setting if (row.loss, row.method) == key), key=_series)
            for turn, row in enumerate(marks):
                place = line - min(0.22, 0.84 / len(marks)) * (turn - (len(marks) - 1) / 2)
                _mark(axes, row, place, MARKERS[series.index(_series(row)) % len(MARKERS)])
        axes.axvline(0, color="#9e9e9e", linewidth=1, zorder=0)
        axes.set_title(setting, fontsize=10)
        axes.set_xlabel("points of test MAP@R, method minus baseline", fontsize=8)
        axes.set_yticks(range(len(lines)), [f"{loss_name(loss)} + {method_name(method)}" for loss, method in lines])
        axes.tick_params(labelsize=8, length=0)
        for line in range(0, len(lines), 2):
            axes.axhspan(line - 0.5, line + 0.5, color="#f3f3f3", zorder=-1)
        axes.set_ylim(-0.5, len(lines) - 0.5)
        axes.spines[["top", "left", "right"]].set_visible(False)
    handles = [Line2D([], [], marker=MARKERS[i % len(MARKERS)], color=OTHER, markersize=5, linestyle="", label=name)
               for i, name in enumerate(series)]  # fmt: skip
    handles += [Line2D([], [], marker="o", color=color, markersize=5, linestyle="", label=verdict)
                for verdict, color in COLORS.items()]  # fmt: skip
    handles.append(Line2D([], [], marker="o", mfc="white", color=OTHER, markersize=5, linestyle="", label="neither"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def _mark(axes: Axes, row: Row, place: float, marker: str) -> None:
    color = COLORS.get(row.verdict, OTHER)
    if row.low is not None and row.high is not None:
        axes.plot([row.low, row.high], [place, place], color=color, linewidth=1.5)
    fill = color if row.verdict in COLORS else "white"
    axes.plot(row.difference, place, marker=marker, color=color, mfc=fill, markersize=5)


def _setting(row: Row) -> tuple[str, str]:
    """The setting, and what is particular to it: "Head on pretrained features", "tuned"."""
    setting, _, particular = row.setting.partition(", ")
    return setting[:1].upper() + setting[1:], particular


def _series(row: Row) -> str:
    data = row.data.removesuffix("_features")
    particular = _setting(row)[1]
    return f"{data}, {particular}" if particular else data


def main(path: Path) -> None:
    with pyplot.rc_context({"figure.constrained_layout.use": True}):
        figure = draw(read_studies(RESULTS))
        figure.savefig(path, dpi=160)
        pyplot.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
