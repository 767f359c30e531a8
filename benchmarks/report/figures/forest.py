"""All paired differences under each other, with their intervals."""

from collections.abc import Sequence

from ..cells import Comparison
from ..formatting import estimate, p_value
from ..labels import METRIC_NAMES, loss_name, method_name
from ..verdicts import verdict
from .svg import FAINT, INK, PAPER, Figure, canvas, style, to_svg


def forest(comparisons: Sequence[Comparison], colours: dict[str, str], name_data: bool) -> Figure:
    """Difference to the baseline, in the tested metric: each seed, the mean, its t-interval (thin), bootstrap (thick).

    Args:
        comparisons: one or more.
        colours: by method.
        name_data: whether a label begins with the data set.
    """
    metric = METRIC_NAMES[comparisons[0].metric]
    labels = [_label(comparison, name_data) for comparison in comparisons]
    with style():
        figure = canvas(9.2, 1.0 + 0.46 * len(comparisons))
        axes = figure.add_subplot()
        axes.grid(axis="y", visible=False)
        axes.axvline(0, color=INK, linewidth=1)
        for row, comparison in enumerate(comparisons):
            colour, effect = colours[comparison.method.method], comparison.primary
            if effect.interval:
                axes.hlines(row, *effect.interval, color=colour, linewidth=1.6)
            if comparison.bootstrap:
                axes.hlines(row, *comparison.bootstrap, color=colour, linewidth=5, alpha=0.55)
            if comparison.over_classes:
                axes.hlines(row - 0.24, *comparison.over_classes, color=colour, linewidth=1.2, linestyle=(0, (1, 1.5)))
            filled = colour if verdict(comparison).startswith("established") else PAPER
            axes.scatter(effect.mean, row, s=62, facecolor=filled, edgecolor=colour, linewidths=1.8, zorder=3)
            for value in effect.per_seed:
                axes.scatter(value, row + 0.27, s=13, color=colour, alpha=0.75, linewidths=0, zorder=3)
            tests = (
                f"p {p_value(comparison.p)}, Holm {p_value(comparison.holm_p)}" if comparison.judged else "no verdict"
            )
            numbers = f"{estimate(effect, signed=True)}   {tests}"
            axes.text(1.02, row, numbers, transform=axes.get_yaxis_transform(), va="center", fontsize=9)
        axes.set_yticks(range(len(labels)), labels, fontsize=10)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(labels) - 0.45, -0.55)
        axes.spines["left"].set_visible(False)
        axes.spines["bottom"].set_color(FAINT)
        axes.set_xlabel(f"difference in test {metric} to the baseline, points (right of 0: the method is better)")
        alt = f"Paired differences in test {metric}. " + " ".join(
            f"{label}: {estimate(comparison.primary, signed=True)} points."
            for label, comparison in zip(labels, comparisons, strict=True)
        )
        return Figure(to_svg(figure, "forest", alt), alt)


def _label(comparison: Comparison, name_data: bool) -> str:
    data = f"{comparison.method.data}: " if name_data else ""
    return f"{data}{loss_name(comparison.method.loss)} + {method_name(comparison.method.method)}"
