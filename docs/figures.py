"""Draws the pictures of the method pages with the library itself, on points in the plane.

python docs/figures.py [FOLDER]
"""

import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import torch
from matplotlib import pyplot
from matplotlib.axes import Axes
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import ContrastiveLoss, ProxyAnchorLoss
from torch import Tensor
from torch.nn.functional import normalize

from pml_aug.distances import IntrospectiveDistance
from pml_aug.distances.to_mixtures import distances_to_mixtures
from pml_aug.expansion import Expansion, pooled_distances
from pml_aug.expansion.mirrored import Mirroring
from pml_aug.statistics import ClassStatistics
from pml_aug.synthesis import (
    class_gaussian_copies,
    different_class_pairs,
    mix,
    points_of_equal_cosine,
    positive_negative_pairs,
    scaled_and_shifted,
)
from pml_aug.wrappers import DenselyAnchoredSampling, MemoryBasedVirtualClasses, ProxySynthesis

COLORS = ("#1f77b4", "#d95f02", "#1b9e77")
PICTURES: list[Callable[[], pyplot.Figure]] = []


def _picture(draw: Callable[[], pyplot.Figure]) -> Callable[[], pyplot.Figure]:
    PICTURES.append(draw)
    return draw


@_picture
def embedding_expansion() -> pyplot.Figure:
    """Interior points between same-class rows, and the negative distance that they shorten."""
    rows = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.2, 0.5], [0.6, 1.5]])
    labels = torch.tensor([0, 0, 1, 1])
    expansion = Expansion(num_points=2, normalize=False)
    distance = LpDistance(normalize_embeddings=False)
    expanded = expansion.expand(rows, labels)
    baseline, pooled = distance(rows)[:2, 2:].min(), pooled_distances(distance, expanded, expanded)[:2, 2:].min()
    figure, axes = _plane("Embedding Expansion")
    for start, end in torch.stack(expanded.pairs, dim=1).tolist():
        axes.plot(*rows[[start, end]].T, color=COLORS[labels[start]], linewidth=1, linestyle=":")
    _points(axes, rows, labels, "embeddings")
    _points(axes, expanded.points, labels[expanded.pairs.start].repeat(2), "interior points", hollow=True)
    of_first, of_second = expanded.points[::2], expanded.points[1::2]
    for style, color, first, second in (
        ("--", "grey", rows[:2], rows[2:]),
        ("-", "black", torch.cat([rows[:2], of_first]), torch.cat([rows[2:], of_second])),
    ):
        axes.plot(*torch.stack(_nearest(first, second)).T, color=color, linestyle=style, linewidth=1.5)
    axes.set_title(f"nearest negatives: {baseline:.2f} baseline, {pooled:.2f} expanded", fontsize=9)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    return figure


@_picture
def intra_class_adaptive_augmentation() -> pyplot.Figure:
    """Copies spread as widely, and in the directions, as their own class is."""
    generator = torch.Generator().manual_seed(1)
    centers = torch.tensor([[-1.5, 0.0], [1.5, 0.6]])
    spread = torch.tensor([[0.25, 0.9], [0.7, 0.2]])
    labels = torch.arange(2).repeat_interleave(40)
    training_set = centers[labels] + spread[labels] * torch.randn(80, 2, generator=generator)
    statistics = ClassStatistics(num_classes=2, embedding_size=2)
    statistics.update(training_set, labels)
    batch = torch.tensor([0, 1, 40, 41])
    copies = class_gaussian_copies(
        training_set[batch], labels[batch], statistics.variance, strength=0.8, num_copies=12, generator=generator
    )
    figure, axes = _plane("Intra-class Adaptive Augmentation")
    axes.scatter(*training_set.T, c=[COLORS[label] for label in labels], s=8, alpha=0.25, label="training set")
    _points(axes, copies.embeddings, copies.labels, "copies", marker="o", hollow=True)
    _points(axes, training_set[batch], labels[batch], "batch")
    axes.set_title("each class's own variance shapes its copies", fontsize=9)
    axes.legend(frameon=False, fontsize=8, loc="lower center")
    return figure


@_picture
def proxy_synthesis() -> pyplot.Figure:
    """Mixed rows and mixed proxies: classes that no image has."""
    torch.manual_seed(0)
    angles = torch.tensor([0.1, 0.45, 2.0, 2.4, 4.0, 4.5])
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    rows = torch.stack([angles.cos(), angles.sin()], dim=1)
    proxies = normalize(torch.stack([rows[labels == label].mean(dim=0) for label in range(3)]))
    loss = ProxySynthesis(ProxyAnchorLoss(num_classes=3, embedding_size=2))
    with torch.no_grad():
        loss.loss.proxies.copy_(proxies)
    start, end = different_class_pairs(labels)
    synthetic = normalize(mix(rows[start], rows[end], 0.6))
    synthetic_proxies = normalize(mix(proxies[labels[start]], proxies[labels[end]], 0.6))
    value, baseline = loss(rows, labels, mixing=0.6), loss.loss(rows, labels)
    figure, axes = _plane("Proxy Synthesis")
    _circle(axes)
    _points(axes, rows, labels, "embeddings")
    _points(axes, proxies, torch.arange(3), "proxies", marker="*", size=160)
    axes.scatter(*synthetic.T, facecolors="none", edgecolors="black", s=40, label="synthetic embeddings")
    axes.scatter(*synthetic_proxies.T, marker="*", facecolors="none", edgecolors="black", s=160, label="their proxies")
    axes.set_title(
        f"proxy-anchor loss {baseline.detach():.2f} baseline, {value.detach():.2f} with synthetic classes", fontsize=9
    )
    axes.legend(frameon=False, fontsize=8, loc="center")
    return figure


@_picture
def memory_based_virtual_classes() -> pyplot.Figure:
    """The rows and proxies of the present step, and those of two earlier ones: classes of their own."""
    angles = torch.tensor([0.1, 0.5, 2.0, 2.4, 4.0, 4.5])
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    loss = ProxyAnchorLoss(num_classes=3, embedding_size=2)
    wrapper = MemoryBasedVirtualClasses(loss, num_steps=3, step_gap=0)
    for turn in (-0.7, -0.35, 0.0):
        rows = torch.stack([(angles + turn).cos(), (angles + turn).sin()], dim=1)
        with torch.no_grad():
            loss.proxies.copy_(normalize(torch.stack([rows[labels == label].mean(dim=0) for label in range(3)])))
        value = wrapper(rows, labels).detach()
    figure, axes = _plane("Memory-based virtual classes")
    _circle(axes)
    for age, step in enumerate(reversed(wrapper.memory.steps)):
        size, name = 0.8**age, "present" if age == 0 else f"{age} step{'s' * (age > 1)} ago"
        place = step.embeddings * (1 - 0.12 * age)
        _points(axes, place, step.labels, f"embeddings, {name}", size=int(45 * size), hollow=age > 0)
        of_proxies = step.proxies * (1 - 0.12 * age)
        _points(axes, of_proxies, torch.arange(3), f"proxies, {name}", marker="*", size=int(160 * size), hollow=age > 0)
    axes.set_title(f"loss {loss(rows, labels).detach():.2f} baseline, {value:.2f} among nine classes", fontsize=9)
    axes.legend(frameon=False, fontsize=7, loc="center")
    return figure


@_picture
def spherical_embedding_expansion() -> pyplot.Figure:
    """Points of a row around a proxy: all with the row's similarity to it, and far from each other."""
    row, proxy = torch.tensor([[0.75, -0.2, 0.0, 0.7]]), torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    directions = torch.tensor([[[0.2, 1.0, 0.0, 0.0]]])
    points = points_of_equal_cosine(row, proxy, directions)[0]
    figure = pyplot.figure(figsize=(4.6, 4.6), layout="constrained")
    axes = figure.add_subplot(projection="3d")
    around, up = torch.meshgrid(torch.linspace(0, 2 * torch.pi, 25), torch.linspace(0, torch.pi / 2, 10), indexing="ij")
    axes.plot_wireframe(up.sin() * around.cos(), up.sin() * around.sin(), up.cos(), color="lightgrey", linewidth=0.5)
    angle = torch.linspace(0, 2 * torch.pi, 100)
    row = normalize(row)[0]
    axes.plot(*(row[:3].norm() * torch.stack([angle.cos(), angle.sin()])), row[3], color="grey", linestyle=":")
    axes.scatter(*proxy[0, [0, 1, 3]], marker="*", s=160, color=COLORS[0], label="proxy")
    axes.scatter(*row[[0, 1, 3]], s=45, color=COLORS[0], label="embedding")
    axes.scatter(*points[:, [0, 1, 3]].T, s=45, facecolors="none", edgecolors=COLORS[0], label="points")
    axes.set_axis_off()
    axes.set_box_aspect((2, 2, 1), zoom=1.4)
    axes.view_init(elev=35, azim=-60)
    figure.suptitle("Spherical Embedding Expansion", fontsize=11)
    axes.set_title(f"all at the cosine {row[3]:.2f} to the proxy", fontsize=9)
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    return figure


@_picture
def symmetrical_synthesis() -> pyplot.Figure:
    """Two pairs of rows on the circle with their mirrors, and the negative distance that these shorten."""
    angles = torch.deg2rad(torch.tensor([20.0, 50.0, 120.0, 145.0]))
    rows, labels = torch.stack([angles.cos(), angles.sin()], dim=1), torch.tensor([0, 0, 1, 1])
    distance = LpDistance(normalize_embeddings=False)
    side = Mirroring(num_points=2).expand(rows, labels)
    baseline, pooled = distance(rows)[:2, 2:].min(), pooled_distances(distance, side, side)[:2, 2:].min()
    figure, axes = _plane("Symmetrical Synthesis")
    _circle(axes)
    for row, label in zip(rows, labels, strict=True):
        axes.plot([0, row[0]], [0, row[1]], color=COLORS[label], linewidth=1, linestyle=":")
    _points(axes, rows, labels, "embeddings")
    _points(axes, side.points, labels[side.pairs.start].repeat(2), "mirrors", hollow=True)
    first, second = (torch.cat([rows[labels == label], side.points[label::2]]) for label in range(2))
    for style, color, ends in (("--", "grey", (rows[:2], rows[2:])), ("-", "black", (first, second))):
        axes.plot(*torch.stack(_nearest(*ends)).T, color=color, linestyle=style, linewidth=1.5)
    axes.set_title(f"nearest negatives: {baseline:.2f} baseline, {pooled:.2f} with mirrors", fontsize=9)
    axes.legend(frameon=False, fontsize=8, loc="lower center")
    return figure


@_picture
def densely_anchored_sampling() -> pyplot.Figure:
    """Copies, scaled along the larger channel of their class and shifted by differences within it."""
    generator = torch.Generator().manual_seed(2)
    rows = torch.tensor([[0.3, 1.2], [0.6, 1.6], [0.1, 1.5], [1.5, 0.2], [1.9, 0.5], [1.7, 0.1]])
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    loss = ContrastiveLoss()
    wrapper = DenselyAnchoredSampling(
        loss, 2, 2, num_copies=12, num_channels=1, scale_range=(0.8, 1.25), shift=0.3, normalize=False
    )
    shape = (wrapper.num_copies, len(rows), 1)
    scale = torch.empty(shape).uniform_(*wrapper.scale_range, generator=generator)
    choice = torch.randint(6, shape[:2], generator=generator)  # of the differences between three rows
    value = wrapper(rows, labels, scale=scale, choice=choice)
    channels = wrapper.counts.most_frequent(labels, 1).expand(shape)
    shift = wrapper.shift * wrapper.bank.choose(labels, choice)
    copies = scaled_and_shifted(rows, labels, channels, scale, shift, to_unit=False)
    figure, axes = _plane("Densely-anchored sampling")
    _points(axes, copies.embeddings, copies.labels, "copies", size=18, hollow=True)
    _points(axes, rows, labels, "embeddings")
    axes.set_title(f"contrastive loss {loss(rows, labels):.2f} baseline, {value:.2f} with copies", fontsize=9)
    axes.legend(frameon=False, fontsize=8, loc="upper right")
    return figure


@_picture
def metric_mixup() -> pyplot.Figure:
    """Mixtures of a positive and a negative of an anchor, with the parts in which they attract and repel."""
    angles = torch.tensor([0.4, 1.0, 2.6])
    rows, labels = torch.stack([angles.cos(), angles.sin()], dim=1), torch.tensor([0, 0, 1])
    pairs = positive_negative_pairs(labels)
    figure, axes = _plane("Metrix")
    _circle(axes)
    axes.plot(*rows[1:].T, color="grey", linewidth=1, linestyle=":")
    _points(axes, rows, labels, "anchor, positive, negative")
    for lam in (0.75, 0.5, 0.25):
        mixture = lam * rows[1] + (1 - lam) * rows[2]
        distance = distances_to_mixtures(LpDistance(), rows, pairs, lam)[0, 2]
        place = normalize(mixture, dim=0)
        name = f"mixture, {lam:g} positive: {distance:.2f} from the anchor"
        axes.scatter(*place, facecolors="none", edgecolors="black", s=20 + 100 * lam, label=name, zorder=2)
        axes.plot(*torch.stack([rows[0], place]).T, color="black", linewidth=0.5)
    axes.set_title("a mixture attracts and repels in parts", fontsize=9)
    axes.legend(frameon=False, fontsize=8, loc="center", bbox_to_anchor=(0.5, 0.35))
    return figure


@_picture
def introspective_metric() -> pyplot.Figure:
    """The distance of two rows as their uncertainty grows."""
    semantic = torch.linspace(0.01, 2, 100)
    distance = IntrospectiveDistance(embedding_size=1, normalize_embeddings=False)
    figure, axes = pyplot.subplots(figsize=(4.2, 4.2), layout="constrained")
    for uncertainty in (0.0, 1.0, 3.0, 8.0):
        rows = torch.stack([semantic, torch.full_like(semantic, uncertainty)], dim=1)
        axes.plot(semantic, distance(rows, torch.zeros(1, 2))[:, 0], label=f"uncertainty {uncertainty:g}")
    axes.set_xlabel("semantic distance")
    axes.set_ylabel("introspective distance")
    axes.set_title("an uncertain pair counts as less dissimilar", fontsize=9)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _plane(title: str) -> tuple[pyplot.Figure, Axes]:
    figure, axes = pyplot.subplots(figsize=(4.6, 4.6), layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes.set_aspect("equal")
    axes.axis("off")
    return figure, axes


def _circle(axes: Axes) -> None:
    axes.add_patch(pyplot.Circle((0, 0), 1, fill=False, color="lightgrey"))


def _points(
    axes: Axes, rows: Tensor, labels: Tensor, name: str, marker: str = "o", size: int = 45, hollow: bool = False
) -> None:
    colors = [COLORS[label] for label in labels]
    axes.scatter(
        *rows.T, marker=marker, s=size, edgecolors=colors, facecolors="none" if hollow else colors, label=name, zorder=2
    )


def _nearest(rows: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    row, other = divmod(int(torch.cdist(rows, others).argmin()), len(others))
    return rows[row], others[other]


def main(folder: Path) -> None:
    """Writes one PNG a method into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for draw in PICTURES:
        figure = draw()
        figure.savefig(folder / f"{draw.__name__}.png", dpi=130)
        pyplot.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "methods" / "figures")
