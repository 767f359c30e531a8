"""Best validation score by number of trials."""

from collections.abc import Sequence

from matplotlib.ticker import MaxNLocator

from ..labels import loss_name, method_name
from ..study import Study, TunedCell
from .svg import INK, Figure, canvas, style, to_svg


def tuning_curves(study: Study, colours: dict[str, str]) -> list[Figure]:
    """One panel per loss: validation MAP@R of the best trial so far, over the number of trials.

    Quasi-random trials are as good as drawn at random: the line is the expectation over all orders. Trials of an
    adaptive search depend on each other, so its line is the best so far in their own order.
    """
    by_loss = [[cell for cell in study.of(loss) if cell.scores] for loss in study.losses()]
    return [_panel(study, cells, colours) for cells in by_loss if cells]


def adaptive(study: Study) -> bool:
    return study.sampler != "quasi_random"


def _panel(study: Study, cells: Sequence[TunedCell], colours: dict[str, str]) -> Figure:
    described = []
    name = loss_name(cells[0].loss)
    with style():
        figure = canvas(4.4, 3.0)
        axes = figure.add_subplot()
        for cell in cells:
            curve = cell.best_so_far if adaptive(study) else cell.expected_best
            label, colour = method_name(cell.method), colours[cell.method]
            line = "--" if cell.method == "none" else ":" if cell.method == "none+" else "-"
            trials = range(1, len(curve) + 1)
            axes.plot(trials, curve, color=colour, label=label, linewidth=1.9, linestyle=line)
            axes.scatter(trials, curve, s=8, color=colour, linewidths=0)
            described.append(f"{label} {curve[0]:.1f} after one trial, {curve[-1]:.1f} after {len(curve)}")
        axes.set_title(name, color=INK, loc="left")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("trials")
        axes.set_ylabel("best validation MAP@R, points")
        axes.legend(loc="lower right", fontsize=9)
        alt = f"Validation MAP@R of the best trial by number of trials for {name}: {'; '.join(described)}."
        return Figure(to_svg(figure, f"tuning-{study.name}-{name}", alt), alt)
