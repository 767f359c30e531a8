"""The measurements as a table, a csv file and a figure."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib
import torch

from benchmarks.config.compose import RunConfig
from benchmarks.profiling.speed.demands import Demands
from benchmarks.profiling.speed.measure import Row
from benchmarks.profiling.speed.roofline import Roofline
from benchmarks.runs.writer import environment, write_whole

matplotlib.use("Agg")
from matplotlib import pyplot


def table(rows: Sequence[Row], roofline: Roofline, asked: Mapping[str, Demands]) -> str:
    """Markdown: images per second, the step relative to the baseline, its share of the roofline, its demands."""
    lines = [
        f"At most {roofline.flops / 1e12:.3g} TFLOP/s, {roofline.bytes / 1e9:.3g} GB/s, "
        f"{roofline.launch * 1e6:.2g} microseconds a launch.",
        "",
        "| piece | batch | images/s | ms a batch | time beside the baseline step | of the most FLOP/s |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        baseline = _bare(row, rows)
        ratio = "" if baseline is None else f"{baseline.images_per_second / row.images_per_second:.2f}"
        share = "" if row.flops_per_image is None else f"{_share(row, roofline):.1%}"
        milliseconds = 1e3 * row.batch / row.images_per_second
        lines.append(
            f"| {row.piece} | {row.batch:,} | {row.images_per_second:,.0f} | {milliseconds:,.2f} | {ratio} | {share} |"
        )
    lines += ["", "| step | kernels | beside the baseline step | host waits |", "| --- | ---: | ---: | ---: |"]
    for step, demands in asked.items():
        loss, plus, _ = step.partition(" + ")
        added = f"{demands.kernels - asked[loss].kernels:+,}" if plus and loss in asked else ""
        lines.append(f"| {step} | {demands.kernels:,} | {added} | {demands.waits} |")
    return "\n".join(lines)


def write(
    out: Path,
    rows: Sequence[Row],
    roofline: Roofline,
    asked: Mapping[str, Demands],
    config: RunConfig,
    device: torch.device,
) -> None:
    """speed.md, speed.csv, demands.csv, environment.json and speed.png."""
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "speed.md", (table(rows, roofline, asked) + "\n").encode())
    _write_csv(out / "speed.csv", Row._fields, rows)
    _write_csv(out / "demands.csv", ("step", *Demands._fields), [(step, *counts) for step, counts in asked.items()])
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    described = {**environment(gpu, data_hash=""), "roofline": roofline._asdict(), "threads": torch.get_num_threads()}
    del described["data_hash"]
    described |= {"trunk": config.trunk.name, "protocol": config.protocol.name, "precision": config.protocol.precision}
    write_whole(out / "environment.json", (json.dumps(described, indent=1) + "\n").encode())
    _draw(rows, out / "speed.png")


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _bare(row: Row, rows: Sequence[Row]) -> Row | None:
    """The step of the baseline that a method's step stands beside."""
    loss, plus, _ = row.piece.partition(" + ")
    baseline = [other for other in rows if (other.piece, other.batch) == (loss, row.batch)]
    return baseline[0] if plus and baseline else None


def _share(row: Row, roofline: Roofline) -> float:
    assert row.flops_per_image is not None
    return row.flops_per_image * row.images_per_second / roofline.flops


def _draw(rows: Sequence[Row], path: Path) -> None:
    """One bar a piece and batch size."""
    figure, axes = pyplot.subplots(figsize=(8, 1 + 0.32 * len(rows)), layout="constrained")
    names = [f"{row.piece}, {row.batch:,}" for row in rows]
    rates = [row.images_per_second for row in rows]
    batches = sorted({row.batch for row in rows})
    axes.barh(names, rates, color=[pyplot.get_cmap("viridis")(batches.index(row.batch) / len(batches)) for row in rows])
    for name, rate in zip(names, rates, strict=True):
        axes.annotate(f"{rate:,.0f}", (rate, name), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_xscale("log")
    axes.set_xlabel("images a second (logarithmic)")
    axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
