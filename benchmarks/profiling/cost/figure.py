"""The figures of the costs: measured ratio and goal of every piece, and how the ratio grows."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from benchmarks.profiling.cost.tables import Growth, Row


def draw(rows: Sequence[Row], path: Path) -> None:
    """One bar a piece, in units of the baseline, with its goal and the enlarged loss alone as marks."""
    figure, axes = pyplot.subplots(figsize=(8, 0.8 + 0.45 * len(rows)), layout="constrained")
    names = [str(row["piece"]) for row in rows]
    ratios = [float(row["time_ratio"]) for row in rows]
    goals = [float(row["goal"]) for row in rows]
    within = [ratio <= goal for ratio, goal in zip(ratios, goals, strict=True)]
    axes.barh(names, ratios, color=["#4c78a8" if good else "#e08214" for good in within], height=0.6)
    for name, ratio in zip(names, ratios, strict=True):
        axes.annotate(f"{ratio:.2f}", (0, name), (6, 0), textcoords="offset points", va="center", color="white")
    axes.scatter(goals, names, marker="|", s=300, color="black", zorder=3, label="goal")
    alone = [(float(row["enlarged_ratio"]), str(row["piece"])) for row in rows if row["enlarged_ratio"]]
    if alone:
        places, pieces = zip(*alone, strict=True)
        label = "the loss alone, enlarged"
        axes.scatter(places, pieces, s=36, facecolors="white", edgecolors="black", zorder=3, label=label)
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_xlabel("time, in units of the baseline (median)")
    axes.invert_yaxis()
    axes.margins(x=0.12)
    figure.legend(frameon=False, loc="outside lower center", ncols=2)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def draw_growth(growth: Growth, path: Path) -> None:
    """One panel a quantity, one line a piece: the ratio over the size, both on a scale of factors."""
    figure, panels = pyplot.subplots(1, len(growth), figsize=(4 * len(growth), 5), sharey=True, layout="constrained")
    names = list(dict.fromkeys(name for lines in growth.values() for name in lines))
    styles = {name: (f"C{place}", "osD^vPX*"[place % 8]) for place, name in enumerate(names)}
    drawn = {}
    for axes, (quantity, lines) in zip([panels] if len(growth) == 1 else panels, growth.items(), strict=True):
        for name, rows in lines.items():
            color, marker = styles[name]
            places, ratios = ([float(row[key]) for row in rows] for key in (quantity, "time_ratio"))
            (drawn[name],) = axes.plot(places, ratios, label=name, linewidth=1.5, color=color, marker=marker)
        sizes = sorted({int(row[quantity]) for rows in lines.values() for row in rows})
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.set_xlabel(quantity)
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.minorticks_off()
        axes.margins(x=0.08)
        axes.axhline(1, color="grey", linewidth=0.8)
        axes.grid(axis="y", color="0.9", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supylabel("time, in units of the baseline (median)", fontsize="medium")
    figure.legend(handles=list(drawn.values()), loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
