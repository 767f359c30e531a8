"""Accuracy against cost: the tested metric over the time of a step."""

from ..cells import Cell
from ..labels import METRIC_NAMES, loss_name, method_name
from ..summary import DataSummary
from .svg import INK, Figure, canvas, style, to_svg

_MARKERS = "osD^vP*Xhd"


def accuracy_cost(data: DataSummary, colours: dict[str, str]) -> Figure:
    """The tested metric over milliseconds per step: one marker per loss, one colour per method."""
    losses = sorted({cell.loss for cell in data.cells})
    markers = {loss: _MARKERS[i % len(_MARKERS)] for i, loss in enumerate(losses)}
    methods = sorted({cell.method for cell in data.cells}, key=lambda name: (name != "none", name))
    with style():
        figure = canvas(9.2, max(3.8, 0.21 * (len(losses) + len(methods))))  # as high as the legend beside it
        axes = figure.add_subplot()
        for comparison in data.comparisons:
            ends = [_position(cell) for cell in (comparison.baseline, comparison.method)]
            colour = colours[comparison.method.method]
            axes.plot(*zip(*ends, strict=True), color=colour, linewidth=1.2, linestyle=":", zorder=1)
        for cell in data.cells:
            x, y = _position(cell)
            interval = cell.score(data.task.primary).interval
            if interval:
                axes.plot((x, x), interval, color=colours[cell.method], linewidth=1.4, alpha=0.7, zorder=2)
            axes.scatter(x, y, s=58, marker=markers[cell.loss], color=colours[cell.method], linewidths=0, zorder=3)
        for loss, marker in markers.items():
            axes.scatter([], [], marker=marker, color=INK, label=loss_name(loss), linewidths=0)
        for method in methods:
            axes.scatter([], [], marker="s", color=colours[method], label=method_name(method), linewidths=0)
        axes.set_xlim(0, 1.06 * max(_position(cell)[0] for cell in data.cells))
        axes.set_xlabel("milliseconds per training step")
        axes.set_ylabel(f"test {METRIC_NAMES[data.task.primary]}, points")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9)
        alt = f"Test {METRIC_NAMES[data.task.primary]} against milliseconds per step on {data.data}. " + " ".join(
            f"{loss_name(cell.loss)} {method_name(cell.method)}: {y:.1f} points at {x:.1f} ms."
            for cell in data.cells
            for x, y in [_position(cell)]
        )
        return Figure(to_svg(figure, f"cost-{data.data}", alt), alt)


def _position(cell: Cell) -> tuple[float, float]:
    return cell.milliseconds_per_step.mean, cell.score(cell.task.primary).mean
