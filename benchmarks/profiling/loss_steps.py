"""Steps to be measured: loss forward and backward on one batch, or one call of a part of the library."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor, nn

from pml_aug.statistics import ClassStatistics, NeighborCorrection

Step = Callable[[], object]


class Size(NamedTuple):
    """Sizes of a batch and of what it is compared with."""

    batch: int = 128
    classes: int = 100
    dimension: int = 512
    per_class: int = 4
    device: str = "cpu"
    labels_on_device: bool = False  # PML's trainers pass them on the CPU

    def batch_of(self, num_classes: int | None = None) -> tuple[Tensor, Tensor]:
        """Random embeddings on the device, and labels."""
        generator = torch.Generator().manual_seed(0)
        rows = torch.randn(self.batch, self.dimension, generator=generator).to(self.device)
        labels = torch.arange(self.batch) // self.per_class % self.classes
        if num_classes is not None:
            labels = torch.randint(num_classes, (self.batch,), generator=generator)
        return rows, labels.to(self.device) if self.labels_on_device else labels


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
        make_miner: None: no miner.
        by_class: labels are drawn from all ``size.classes``, else rows come in groups of ``size.per_class``.
        doubled: rows carry an uncertainty of the same width.
        copies: of the batch, passed as ``ref_emb`` after the batch itself.
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
    """A distance matrix forward and backward: rows to proxies, or rows to each other."""

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
    """An update of the class statistics by one batch, with ``num_classes`` classes (None: ``size.classes``)."""

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
    """Two products of all classes with each other, the least that a correction by neighbours needs."""
    mean, variance, _ = _class_statistics(size)
    return lambda: (mean @ mean.T, variance @ variance.T)


def neighbor_correction(size: Size) -> Step:
    """A correction of the variances of all classes by their neighbours."""
    mean, variance, count = _class_statistics(size)
    correction = NeighborCorrection()
    return lambda: correction(mean, variance, count)
