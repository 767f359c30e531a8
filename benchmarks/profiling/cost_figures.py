"""Figures of the costs: the ratio of every case with its goal, and the growth of the ratios."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from .writing import figure

Row = Mapping[str, float | int | str]
Growth = Mapping[str, Mapping[str, Sequence[Row]]]  # quantity -> case -> rows, in the order of the quantity
RATIO = "time, in units of the baseline (median)"


def draw_ratios(rows: Sequence[Row], path: Path) -> None:
    """One bar per case, in units of the baseline; the goal and the enlarged loss alone are marks."""
    names = [str(row["piece"]) for row in rows]
    ratios, goals = ([float(row[key]) for row in rows] for key in ("time_ratio", "goal"))
    colors = ["#4c78a8" if ratio <= goal else "#e08214" for ratio, goal in zip(ratios, goals, strict=True)]
    with figure(path, 9, 0.8 + 0.36 * len(rows)) as (drawing, (axes,)):
        bars = axes.barh(names, ratios, color=colors)
        marks = (max(float(row[key] or 0) for key in ("time_ratio", "goal", "enlarged_ratio")) for row in rows)
        for bar, ratio, end in zip(bars, ratios, marks, strict=True):  # behind the marks
            middle = bar.get_y() + bar.get_height() / 2
            axes.annotate(f"{ratio:.2f}", (end, middle), (6, 0), textcoords="offset points", va="center", fontsize=8)
        axes.invert_yaxis()
        axes.margins(x=0.12, y=0.01)
        axes.scatter(goals, names, marker="|", s=300, color="black", zorder=3, label="goal")
        alone = [(float(row["enlarged_ratio"]), str(row["piece"])) for row in rows if row["enlarged_ratio"]]
        if alone:
            label = "the loss alone, enlarged"
            places, cases = zip(*alone, strict=True)
            axes.scatter(places, cases, s=36, facecolors="white", edgecolors="black", zorder=3, label=label)
        axes.axvline(1, color="grey", linewidth=0.8)
        axes.set_xlabel("time in units of the baseline")
        drawing.legend(frameon=False, loc="outside lower center", ncols=2)


def draw_growth(growth: Growth, path: Path) -> None:
    """One panel per quantity, one line per case: the ratio over the size, both on a logarithmic scale."""
    names = list(dict.fromkeys(name for lines in growth.values() for name in lines))
    styles = {name: (f"C{place}", "osD^vPX*"[place % 8]) for place, name in enumerate(names)}
    drawn = {}
    with figure(path, 4 * len(growth), 5, panels=len(growth)) as (drawing, panels):
        for axes, (quantity, lines) in zip(panels, growth.items(), strict=True):
            for name, rows in lines.items():
                color, marker = styles[name]
                sizes, ratios = ([float(row[key]) for row in rows] for key in (quantity, "time_ratio"))
                (drawn[name],) = axes.plot(sizes, ratios, label=name, linewidth=1.5, color=color, marker=marker)
            ticks = sorted({int(row[quantity]) for rows in lines.values() for row in rows})
            axes.set_xscale("log", base=2)
            axes.set_xticks(ticks, [f"{size:,}" for size in ticks])
            axes.set_xlabel(quantity)
            axes.set_yscale("log", base=2)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.minorticks_off()
            axes.margins(x=0.08)
            axes.axhline(1, color="grey", linewidth=0.8)
            axes.grid(axis="y", color="0.9", linewidth=0.8)
        drawing.supylabel(RATIO, fontsize="medium")
        drawing.legend(handles=list(drawn.values()), loc="outside lower center", ncols=2, frameon=False)
