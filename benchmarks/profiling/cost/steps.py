"""One training step of a loss, or one call of a part of it, ready to be measured."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor, nn

from pml_aug.statistics import ClassStatistics, NeighborCorrection

Step = Callable[[], object]


class Size(NamedTuple):
    """Of a batch and of what it is compared with."""

    batch: int = 128
    classes: int = 100
    dimension: int = 512
    per_class: int = 4
    device: str = "cpu"
    labels_there: bool = False  # labels lie on the device too; PML's trainers hand them over on the CPU

    def batch_of(self, num_classes: int | None = None) -> tuple[Tensor, Tensor]:
        """Random embeddings on the device, and labels."""
        generator = torch.Generator().manual_seed(0)
        rows = torch.randn(self.batch, self.dimension, generator=generator).to(self.device)
        labels = torch.arange(self.batch) // self.per_class % self.classes
        if num_classes is not None:
            labels = torch.randint(num_classes, (self.batch,), generator=generator)
        return rows, labels.to(self.device) if self.labels_there else labels


def training_step(
    make_loss: Callable[[Size], nn.Module],
    make_miner: Callable[[], nn.Module] | None = None,
    by_class: bool = False,
    doubled: bool = False,
    copies: int = 0,
) -> Callable[[Size], Step]:
    """Loss (and miner) forward and backward on one batch.

    Args:
        make_loss: for a size.
        make_miner: None mines nothing.
        by_class: labels are of all the classes of the size, at random.
        doubled: rows carry an uncertainty of the same width.
        copies: the batch is compared with itself so many times more, as `ref_emb`.
    """

    def build(size: Size) -> Step:
        rows, labels = size.batch_of(size.classes if by_class else None)
        if doubled:
            rows = torch.cat([rows, torch.rand_like(rows)], dim=1)
        loss = make_loss(size).to(size.device)
        miner = None if make_miner is None else make_miner()

        def step() -> None:
            embeddings = rows.clone().requires_grad_()
            loss.zero_grad()
            others = () if copies == 0 else (embeddings.repeat(copies + 1, 1), labels.repeat(copies + 1))
            tuples = None if miner is None else miner(embeddings, labels, *others)
            loss(embeddings, labels, tuples, *others).backward()

        return step

    return build


def compared(
    make_distance: Callable[[Size], BaseDistance], with_proxies: bool, doubled: bool
) -> Callable[[Size], Step]:
    """A distance matrix forward and backward: rows to proxies, or rows among themselves."""

    def build(size: Size) -> Step:
        rows, _ = size.batch_of()
        if doubled:
            rows = torch.cat([rows, torch.rand_like(rows)], dim=1)
        proxies = torch.randn(size.classes, size.dimension, device=size.device)
        distance = make_distance(size)

        def step() -> None:
            query = rows.clone().requires_grad_()
            reference = proxies.clone().requires_grad_() if with_proxies else None
            distance(query, reference).sum().backward()

        return step

    return build


def batch_update(num_classes: int | None) -> Callable[[Size], Step]:
    """The statistics of one batch, among `num_classes` classes or the size's own number."""

    def build(size: Size) -> Step:
        among = size.classes if num_classes is None else num_classes
        rows, labels = size.batch_of(among)
        statistics = ClassStatistics(among, size.dimension).to(size.device)
        return lambda: statistics.update(rows, labels)

    return build


def _class_statistics(size: Size) -> tuple[Tensor, Tensor, Tensor]:
    shape = (size.classes, size.dimension)
    mean, variance = torch.randn(shape, device=size.device), torch.rand(shape, device=size.device)
    return mean, variance, torch.full((size.classes,), 5, device=size.device)


def two_products(size: Size) -> Step:
    """What a correction by neighbours cannot do without: two products of classes by classes."""
    mean, variance, _ = _class_statistics(size)
    return lambda: (mean @ mean.T, variance @ variance.T)


def neighbor_correction(size: Size) -> Step:
    """The variances of all classes corrected by their neighbours."""
    mean, variance, count = _class_statistics(size)
    correction = NeighborCorrection()
    return lambda: correction(mean, variance, count)
