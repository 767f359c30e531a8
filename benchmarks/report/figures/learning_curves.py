"""Validation MAP@R by epoch, baseline and methods in one panel per loss."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from ... import statistics
from ..cells import Cell
from ..labels import FEATURES, loss_name, method_name
from ..summary import DataSummary
from .svg import BASELINE_COLOUR, INK, Figure, canvas, style, to_svg

MOST_INSIDE = 5  # lines with their legend inside the axes; with more of them it stands below
LEGEND_COLUMNS, LEGEND_ROW = 3, 0.18  # inches


def learning_curves(data: DataSummary, colours: dict[str, str]) -> list[Figure]:
    """One panel per loss: the mean over seeds and its 95 % t-interval at each epoch; none where no fold validates.

    A dotted line marks the score of raw and of standardised features, where they were scored.
    """
    cells = [cell for cell in data.cells if all(run.curve for run in cell.runs)]
    losses = sorted({cell.loss for cell in cells})
    raw = [cell for cell in data.raw if all(run.curve for run in cell.runs)]
    return [_panel([cell for cell in cells if cell.loss == loss], raw, colours) for loss in losses]


def _panel(cells: Sequence[Cell], raw: Sequence[Cell], colours: dict[str, str]) -> Figure:
    loss, outside = cells[0].loss, len(cells) > MOST_INSIDE
    with style():
        figure = canvas(4.4, 3.0 + (LEGEND_ROW * math.ceil(len(cells) / LEGEND_COLUMNS) if outside else 0))
        axes = figure.add_subplot()
        described = []
        for cell in cells:
            epochs, per_seed = _curve(cell)
            mean = per_seed.mean(axis=1)
            label, colour = method_name(cell.method), colours[cell.method]
            line = {"none": "--", "none+": ":"}.get(cell.method, "-")
            axes.plot(epochs, mean, color=colour, label=label, linewidth=1.9, linestyle=line)
            axes.scatter(epochs, mean, s=9, color=colour)
            bands = [statistics.t_interval(values) for values in per_seed]
            if all(bands):
                low, high = np.transpose([band for band in bands if band])
                axes.fill_between(epochs, low, high, color=colour, alpha=0.16, linewidth=0)
            described.append(f"{label} ends at {mean[-1]:.1f}")
        levels = [float(np.mean([100 * run.curve[0] for run in cell.runs])) for cell in raw]
        for cell, level in zip(raw, levels, strict=True):
            axes.axhline(level, color=BASELINE_COLOUR, linewidth=1.2, linestyle=(0, (1, 2)))
            axes.annotate(
                FEATURES[cell.loss], (0.01, level), xycoords=axes.get_yaxis_transform(), fontsize=8,
                va="bottom" if level == max(levels) else "top", color=BASELINE_COLOUR,
            )  # fmt: skip
            described.append(f"{FEATURES[cell.loss]} have {level:.1f}")
        axes.set_title(loss_name(loss), color=INK, loc="left")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel("validation MAP@R, points")
        if outside:
            figure.legend(loc="outside lower center", ncols=LEGEND_COLUMNS, fontsize=8, columnspacing=1.2)
        else:
            axes.legend(loc="lower right", fontsize=9)
        alt = f"Validation MAP@R by epoch for {loss_name(loss)}: {', '.join(described)} points."
        return Figure(to_svg(figure, f"curves-{cells[0].data}-{loss}", alt), alt)


def _curve(cell: Cell) -> tuple[list[int], np.ndarray]:
    """The epochs that all runs of the cell reached, and (epochs, seeds) scores in points, averaged over folds."""
    epochs = sorted(set.intersection(*(set(run.curve) for run in cell.runs)))
    scores = [statistics.over_seeds({run.pair: 100 * run.curve[epoch] for run in cell.runs}) for epoch in epochs]
    return epochs, np.array(scores)
