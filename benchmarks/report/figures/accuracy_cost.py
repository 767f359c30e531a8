"""Accuracy against cost: what a method's points are paid with."""

from benchmarks.report.figures.svg import INK, Figure, Tips, canvas, style, to_svg
from benchmarks.report.labels import loss_name, method_name
from benchmarks.report.summary import Cell, Table
from benchmarks.runs.schema import PRIMARY

_MARKERS = "osD^vP*Xhd"


def accuracy_cost(table: Table, colours: dict[str, str]) -> Figure:
    """Test MAP@R over milliseconds a step; a marker a loss, a colour a method, a line from baseline to method."""
    losses = sorted({cell.loss for cell in table.cells})
    markers = {loss: _MARKERS[i % len(_MARKERS)] for i, loss in enumerate(losses)}
    tips = Tips()
    with style():
        figure = canvas(9.2, 3.8)
        axes = figure.add_subplot()
        for comparison in table.comparisons:
            ends = [_position(cell) for cell in (comparison.baseline, comparison.method)]
            colour = colours[comparison.method.method]
            axes.plot(*zip(*ends, strict=True), color=colour, linewidth=1.2, linestyle=":", zorder=1)
        for cell in table.cells:
            x, y = _position(cell)
            interval = cell.score(PRIMARY).interval
            if interval:
                axes.plot((x, x), interval, color=colours[cell.method], linewidth=1.4, alpha=0.7, zorder=2)
            mark = axes.scatter(
                x, y, s=58, marker=markers[cell.loss], color=colours[cell.method], linewidths=0, zorder=3
            )
            tips.on(mark, f"{loss_name(cell.loss)} {method_name(cell.method)}: {y:.1f} points at {x:.1f} ms a step")
        for loss, marker in markers.items():
            axes.scatter([], [], marker=marker, color=INK, label=loss_name(loss), linewidths=0)
        for method in sorted({cell.method for cell in table.cells}, key=lambda name: (name != "none", name)):
            axes.scatter([], [], marker="s", color=colours[method], label=method_name(method), linewidths=0)
        axes.set_xlim(0, 1.06 * max(_position(cell)[0] for cell in table.cells))
        axes.set_xlabel("milliseconds a training step")
        axes.set_ylabel("test MAP@R, points")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9)
        alt = f"Test MAP@R against milliseconds a step on {table.data}. " + " ".join(
            f"{loss_name(cell.loss)} {method_name(cell.method)}: {y:.1f} points at {x:.1f} ms."
            for cell in table.cells
            for x, y in [_position(cell)]
        )
        return Figure(to_svg(figure, f"cost-{table.data}", alt, tips), alt)


def _position(cell: Cell) -> tuple[float, float]:
    return cell.milliseconds_per_step.mean, cell.score(PRIMARY).mean
