"""Writers that both commands share: markdown tables, csv files, environment.json and bar charts."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..runs.writer import environment, write_whole

matplotlib.use("Agg")
from matplotlib import pyplot


def markdown_table(header: Iterable[str], rows: Iterable[Sequence[object]], numbers: bool = False) -> str:
    """A table in markdown.

    Args:
        numbers: align every column but the first to the right.

    Example:
        >>> print(markdown_table(["step", "kernels"], [["triplet", 271]], numbers=True))
        | step | kernels |
        | --- | ---: |
        | triplet | 271 |
    """
    names = list(header)
    rules = ["---", *["---:" if numbers else "---"] * (len(names) - 1)]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in (names, rules, *rows))


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a csv file whole."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode())


def write_environment(path: Path, device: torch.device, **more: Any) -> None:
    """Write environment.json: machine, versions, commit, device and threads."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    described = environment(gpu, data_hash="") | {"device": str(device), "threads": torch.get_num_threads()} | more
    del described["data_hash"]
    write_whole(path, (json.dumps(described, indent=1) + "\n").encode())


@contextmanager
def figure(path: Path, width: float, height: float, panels: int = 1) -> Iterator[tuple[Figure, list[Axes]]]:
    """A matplotlib figure that is saved to ``path`` when the block ends."""
    drawing, axes = pyplot.subplots(
        ncols=panels, figsize=(width, height), sharey=True, squeeze=False, layout="constrained"
    )
    for panel in axes[0]:
        panel.spines[["top", "right"]].set_visible(False)
    yield drawing, list(axes[0])
    drawing.savefig(path, dpi=150)
    pyplot.close(drawing)


def draw_bars(
    axes: Axes, names: Sequence[str], values: Sequence[float], colors: Sequence[Any], text: Callable[[float], str]
) -> None:
    """Horizontal bars from top to bottom, each with its value."""
    axes.barh(names, values, color=colors)
    for name, value in zip(names, values, strict=True):
        axes.annotate(text(value), (value, name), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.margins(x=0.15)
    axes.invert_yaxis()
