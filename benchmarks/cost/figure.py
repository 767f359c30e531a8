"""The figure of the costs: measured ratio and goal of every piece."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot


def draw(rows: Sequence[Mapping[str, float | int | str]], path: Path) -> None:
    """One bar a piece, in units of the bare loss, with its goal as a mark."""
    figure, axes = pyplot.subplots(figsize=(8, 0.8 + 0.45 * len(rows)), layout="constrained")
    names = [str(row["piece"]) for row in rows]
    ratios = [float(row["time_ratio"]) for row in rows]
    goals = [float(row["goal"]) for row in rows]
    within = [ratio <= goal for ratio, goal in zip(ratios, goals, strict=True)]
    axes.barh(names, ratios, color=["#4c78a8" if good else "#e08214" for good in within], height=0.6)
    for name, ratio, goal in zip(names, ratios, goals, strict=True):  # right of bar and mark alike
        axes.annotate(f"{ratio:.2f}", (max(ratio, goal), name), (5, 0), textcoords="offset points", va="center")
    axes.scatter(goals, names, marker="|", s=300, color="black", zorder=3, label="goal")
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_xlabel("time, in units of the bare loss (median)")
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
