"""What is measured: each piece of the library beside what a user would run without it."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from pytorch_metric_learning import losses, miners
from torch import Tensor, nn

from pml_aug import wrappers

Step = Callable[[], object]


class Size(NamedTuple):
    """Of a batch and of what it is compared with."""

    batch: int = 128
    classes: int = 100
    dimension: int = 512
    per_class: int = 4
    device: str = "cpu"

    def batch_of(self, num_classes: int | None = None) -> tuple[Tensor, Tensor]:
        """Random embeddings on the device; labels stay on the CPU, as PML's trainers hand them over."""
        generator = torch.Generator().manual_seed(0)
        rows = torch.randn(self.batch, self.dimension, generator=generator).to(self.device)
        labels = torch.arange(self.batch) // self.per_class
        if num_classes is not None:
            labels = torch.randint(num_classes, (self.batch,), generator=generator)
        return rows, labels


class Piece(NamedTuple):
    """One row of the table."""

    name: str
    bare: Callable[[Size], Step]
    augmented: Callable[[Size], Step]
    goal: float  # most time that `augmented` should take, in units of `bare`
    size: Size = Size()
    grows_with: tuple[str, ...] = ("batch", "dimension")


def _training_step(
    make_loss: Callable[[Size], nn.Module],
    make_miner: Callable[[], nn.Module] | None = None,
    by_class: bool = False,
    doubled: bool = False,
) -> Callable[[Size], Step]:
    """Loss (and miner) forward and backward on one batch; `doubled` rows carry an uncertainty of the same width."""

    def build(size: Size) -> Step:
        rows, labels = size.batch_of(size.classes if by_class else None)
        if doubled:
            rows = torch.cat([rows, torch.rand_like(rows)], dim=1)
        loss = make_loss(size).to(size.device)
        miner = None if make_miner is None else make_miner()

        def step() -> None:
            embeddings = rows.clone().requires_grad_()
            loss.zero_grad()
            tuples = None if miner is None else miner(embeddings, labels)
            loss(embeddings, labels, tuples).backward()

        return step

    return build


def _triplet(size: Size) -> nn.Module:
    return losses.TripletMarginLoss()


def _expanded_triplet(num_points: int) -> Callable[[Size], nn.Module]:
    def make(size: Size) -> nn.Module:
        return wrappers.EmbeddingExpansion(losses.TripletMarginLoss(), num_points, miner=miners.BatchHardMiner())

    return make


def _normalized_softmax(size: Size) -> nn.Module:
    return losses.NormalizedSoftmaxLoss(size.classes, size.dimension)


def _synthesised_softmax(size: Size) -> nn.Module:
    return wrappers.ProxySynthesis(_normalized_softmax(size))


PIECES = (
    Piece(
        "EE, 2 points + hardest triplet",
        _training_step(_triplet, miners.BatchHardMiner),
        _training_step(_expanded_triplet(2)),
        goal=1.6,
    ),
    Piece(
        "EE, 8 points + hardest triplet",
        _training_step(_triplet, miners.BatchHardMiner),
        _training_step(_expanded_triplet(8)),
        goal=5.0,
    ),
    Piece(
        "PS + normalized softmax, 100 classes",
        _training_step(_normalized_softmax, by_class=True),
        _training_step(_synthesised_softmax, by_class=True),
        goal=2.8,
        grows_with=("batch", "classes", "dimension"),
    ),
    Piece(
        "PS + normalized softmax, 11,318 classes",
        _training_step(_normalized_softmax, by_class=True),
        _training_step(_synthesised_softmax, by_class=True),
        goal=1.35,
        size=Size(classes=11_318),
        grows_with=(),
    ),
)
