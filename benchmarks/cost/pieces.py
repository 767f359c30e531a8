"""What is measured: each piece of the library beside what a user would run without it."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.distances import BaseDistance, CosineSimilarity
from torch import Tensor, nn

from pml_aug import distances, wrappers
from pml_aug.statistics import ClassStatistics, NeighborCorrection

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


def _adapted(
    make_loss: Callable[[], nn.Module], make_miner: Callable[[], nn.Module] | None = None
) -> Callable[[Size], nn.Module]:
    """IAA with three copies, with the statistics of a training set of two rows a class."""

    def make(size: Size) -> nn.Module:
        miner = None if make_miner is None else make_miner()
        wrapper = wrappers.IntraClassAdaptiveAugmentation(make_loss(), size.classes, size.dimension, miner=miner)
        labels = torch.arange(size.classes).repeat(2)
        wrapper.refresh(torch.randn(len(labels), size.dimension), labels)
        return wrapper

    return make


def _contrastive() -> nn.Module:
    return losses.ContrastiveLoss(pos_margin=0.8, neg_margin=0.5, distance=CosineSimilarity())


def _proxy_anchor(size: Size) -> nn.Module:
    return losses.ProxyAnchorLoss(size.classes, size.dimension)


def _introspective_proxy_anchor(size: Size) -> nn.Module:
    distance = distances.IntrospectiveSimilarity(size.dimension)
    return losses.ProxyAnchorLoss(size.classes, size.dimension, distance=distance)


def _compared(
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


def _cosine(size: Size) -> BaseDistance:
    return CosineSimilarity()


def _introspective(size: Size) -> BaseDistance:
    return distances.IntrospectiveSimilarity(size.dimension)


def _batch_update(num_classes: int | None) -> Callable[[Size], Step]:
    """The statistics of one batch, among `num_classes` classes or the size's own number."""

    def build(size: Size) -> Step:
        among = size.classes if num_classes is None else num_classes
        rows, labels = size.batch_of(among)
        statistics = ClassStatistics(among, size.dimension).to(size.device)
        labels = labels.to(size.device)
        return lambda: statistics.update(rows, labels)

    return build


def _class_statistics(size: Size) -> tuple[Tensor, Tensor, Tensor]:
    shape = (size.classes, size.dimension)
    mean, variance = torch.randn(shape, device=size.device), torch.rand(shape, device=size.device)
    return mean, variance, torch.full((size.classes,), 5, device=size.device)


def _two_products(size: Size) -> Step:
    """What a correction by neighbours cannot do without: two products of classes by classes."""
    mean, variance, _ = _class_statistics(size)
    return lambda: (mean @ mean.T, variance @ variance.T)


def _neighbor_correction(size: Size) -> Step:
    mean, variance, count = _class_statistics(size)
    correction = NeighborCorrection()
    return lambda: correction(mean, variance, count)


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
    Piece(
        "IAA, 3 copies + multi-similarity",
        _training_step(lambda size: losses.MultiSimilarityLoss(), miners.MultiSimilarityMiner),
        _training_step(_adapted(losses.MultiSimilarityLoss, miners.MultiSimilarityMiner)),
        goal=2.2,
        grows_with=("batch", "classes", "dimension"),
    ),
    Piece(
        "IAA, 3 copies + contrastive",
        _training_step(lambda size: _contrastive()),
        _training_step(_adapted(_contrastive)),
        goal=2.2,
    ),
    Piece(
        "IAA statistics of a batch: 11,318 classes beside 100",
        _batch_update(100),
        _batch_update(None),
        goal=2.0,
        size=Size(classes=11_318),
        grows_with=(),
    ),
    Piece(
        "IAA neighbour correction, 11,318 classes, beside two products",
        _two_products,
        _neighbor_correction,
        goal=1.4,
        size=Size(classes=11_318),
        grows_with=(),
    ),
    Piece(
        "IDML similarity to 11,318 proxies beside the cosine",
        _compared(_cosine, with_proxies=True, doubled=False),
        _compared(_introspective, with_proxies=True, doubled=True),
        goal=1.2,
        size=Size(classes=11_318),
        grows_with=(),
    ),
    Piece(
        "IDML similarity, 512 rows, beside the cosine",
        _compared(_cosine, with_proxies=False, doubled=False),
        _compared(_introspective, with_proxies=False, doubled=True),
        goal=2.2,
        size=Size(batch=512),
        grows_with=(),
    ),
    Piece(
        "IDML + proxy anchor, 11,318 classes",
        _training_step(_proxy_anchor, by_class=True),
        _training_step(_introspective_proxy_anchor, by_class=True, doubled=True),
        goal=1.2,
        size=Size(classes=11_318),
        grows_with=(),
    ),
)
