"""The cases of the cost command: each part of the library beside what a user would run without it."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.distances import BaseDistance, CosineSimilarity
from torch import nn

from pml_aug import distances, wrappers

from .loss_steps import (
    Size,
    Step,
    batch_update,
    compared,
    neighbor_correction,
    training_step,
    two_products,
)

COPIES = 3
STEPS = 5  # earlier ones with virtual classes


class Case(NamedTuple):
    """One row of the table."""

    name: str
    baseline: Callable[[Size], Step]
    augmented: Callable[[Size], Step]
    goal: float  # upper limit of the time of `augmented`, in units of `baseline`
    size: Size = Size()
    grows_with: tuple[str, ...] = ()
    enlarged: Callable[[Size], Step] | None = None  # the loss alone, on as many rows as the method makes


def _triplet(size: Size) -> nn.Module:
    return losses.TripletMarginLoss()


def _expanded_triplet(num_points: int | str) -> Callable[[Size], nn.Module]:
    def make(size: Size) -> nn.Module:
        return wrappers.EmbeddingExpansion(losses.TripletMarginLoss(), num_points, miner=miners.BatchHardMiner())

    return make


def _mirrored_triplet(size: Size) -> nn.Module:
    return wrappers.SymmetricalSynthesis(losses.TripletMarginLoss(), miner=miners.BatchHardMiner())


def _normalized_softmax(size: Size) -> nn.Module:
    return losses.NormalizedSoftmaxLoss(size.classes, size.dimension)


def _synthesised_softmax(size: Size) -> nn.Module:
    return wrappers.ProxySynthesis(_normalized_softmax(size))


def _enlarged_softmax(size: Size) -> Step:
    size = size._replace(batch=2 * size.batch, classes=size.classes + size.batch)
    return training_step(_normalized_softmax, by_class=True)(size)


def _virtual_softmax(size: Size) -> nn.Module:
    """Virtual classes of a full memory."""
    wrapper = wrappers.MemoryBasedVirtualClasses(_normalized_softmax(size), num_steps=STEPS, step_gap=1)
    wrapper.prepare(*size.batch_of(size.classes))
    return wrapper


def _virtual_enlarged(size: Size) -> Step:
    size = size._replace(batch=(1 + STEPS) * size.batch, classes=(1 + STEPS) * size.classes)
    return training_step(_normalized_softmax, by_class=True)(size)


def _contrastive(size: Size) -> nn.Module:
    return losses.ContrastiveLoss(pos_margin=0.8, neg_margin=0.5, distance=CosineSimilarity())


def _metric_mixup(make_loss: Callable[[Size], nn.Module]) -> Callable[[Size], nn.Module]:
    """With mixtures of positives and negatives, as every balanced batch has them."""
    return lambda size: wrappers.MetricMixup(make_loss(size), kind="positive_negative")


def _multi_similarity(size: Size) -> nn.Module:
    return losses.MultiSimilarityLoss()


def _adapted(
    make_loss: Callable[[Size], nn.Module], make_miner: Callable[[], nn.Module] | None = None
) -> Callable[[Size], nn.Module]:
    """IAA with the statistics of a training set of two rows per class."""

    def make(size: Size) -> nn.Module:
        wrapper = wrappers.IntraClassAdaptiveAugmentation(
            make_loss(size),
            size.classes,
            size.dimension,
            miner=None if make_miner is None else make_miner(),
            num_copies=COPIES,
        )
        labels = torch.arange(size.classes).repeat(2)
        wrapper.refresh(torch.randn(len(labels), size.dimension), labels)
        return wrapper

    return make


def _anchored(anchors: str) -> Callable[[Size], nn.Module]:
    return lambda size: wrappers.DenselyAnchoredSampling(
        _multi_similarity(size),
        size.classes,
        size.dimension,
        miner=miners.MultiSimilarityMiner(),
        num_copies=COPIES,
        anchors=anchors,
    )


def _anchored_enlarged(size: Size) -> Step:
    """The loss on as many rows, copies and all: anchors too."""
    size = size._replace(batch=(1 + COPIES) * size.batch, per_class=(1 + COPIES) * size.per_class)
    return training_step(_multi_similarity, miners.MultiSimilarityMiner)(size)


def _proxy_anchor(size: Size) -> nn.Module:
    return losses.ProxyAnchorLoss(size.classes, size.dimension)


def _spherical_proxy_anchor(fraction: float) -> Callable[[Size], nn.Module]:
    return lambda size: wrappers.SphericalEmbeddingExpansion(_proxy_anchor(size), fraction=fraction)


def _enlarged_proxy_anchor(fraction: float) -> Callable[[Size], Step]:
    """With eight more rows for each of a fraction of the batch."""

    def build(size: Size) -> Step:
        size = size._replace(batch=size.batch + 8 * round(fraction * size.batch))
        return training_step(_proxy_anchor, by_class=True)(size)

    return build


def _introspective_proxy_anchor(size: Size) -> nn.Module:
    return losses.ProxyAnchorLoss(size.classes, size.dimension, distance=_introspective(size))


def _cosine(size: Size) -> BaseDistance:
    return CosineSimilarity()


def _introspective(size: Size) -> BaseDistance:
    return distances.IntrospectiveSimilarity(size.dimension)


CASES = (
    Case(
        "EE, 2 points + hardest triplet",
        training_step(_triplet, miners.BatchHardMiner),
        training_step(_expanded_triplet(2)),
        goal=1.6,
        grows_with=("batch", "dimension"),
    ),
    Case(
        "EE, 8 points + hardest triplet",
        training_step(_triplet, miners.BatchHardMiner),
        training_step(_expanded_triplet(8)),
        goal=5.0,
        grows_with=("batch", "dimension"),
    ),
    Case(
        "EE, whole arcs + hardest triplet",
        training_step(_triplet, miners.BatchHardMiner),
        training_step(_expanded_triplet("all")),
        goal=5.0,
        grows_with=("batch", "dimension"),
    ),
    Case(
        "Symmetrical synthesis + hardest triplet",
        training_step(_triplet, miners.BatchHardMiner),
        training_step(_mirrored_triplet),
        goal=2.2,
        grows_with=("batch", "dimension"),
    ),
    Case(
        "PS + normalized softmax, 100 classes",
        training_step(_normalized_softmax, by_class=True),
        training_step(_synthesised_softmax, by_class=True),
        goal=2.8,
        grows_with=("batch", "classes", "dimension"),
        enlarged=_enlarged_softmax,
    ),
    Case(
        "PS + normalized softmax, 11,318 classes",
        training_step(_normalized_softmax, by_class=True),
        training_step(_synthesised_softmax, by_class=True),
        goal=1.35,
        size=Size(classes=11_318),
        enlarged=_enlarged_softmax,
    ),
    Case(
        f"MemVir, {STEPS} steps, beside the enlarged softmax",
        _virtual_enlarged,
        training_step(_virtual_softmax, by_class=True),
        goal=1.3,
        grows_with=("batch", "classes", "dimension"),
    ),
    Case(
        "SEE, 8 points + proxy anchor",
        training_step(_proxy_anchor, by_class=True),
        training_step(_spherical_proxy_anchor(0.4), by_class=True),
        goal=2.2,
        grows_with=("batch", "classes", "dimension"),
        enlarged=_enlarged_proxy_anchor(0.4),
    ),
    Case(
        "SEE, 8 points, at half of its schedule + proxy anchor",
        training_step(_proxy_anchor, by_class=True),
        training_step(_spherical_proxy_anchor(0.2), by_class=True),
        goal=2.2,
        enlarged=_enlarged_proxy_anchor(0.2),
    ),
    Case(
        f"IAA, {COPIES} copies + multi-similarity",
        training_step(_multi_similarity, miners.MultiSimilarityMiner),
        training_step(_adapted(_multi_similarity, miners.MultiSimilarityMiner)),
        goal=2.2,
        grows_with=("batch", "classes", "dimension"),
        enlarged=training_step(_multi_similarity, miners.MultiSimilarityMiner, copies=COPIES),
    ),
    Case(
        f"DAS, {COPIES} copies + multi-similarity",
        training_step(_multi_similarity, miners.MultiSimilarityMiner),
        training_step(_anchored("all")),
        goal=2.2,
        grows_with=("batch", "classes", "dimension"),
        enlarged=_anchored_enlarged,
    ),
    Case(
        f"DAS, {COPIES} copies, rows as anchors + multi-similarity",
        training_step(_multi_similarity, miners.MultiSimilarityMiner),
        training_step(_anchored("originals")),
        goal=2.2,
        grows_with=("batch", "classes", "dimension"),
        enlarged=training_step(_multi_similarity, miners.MultiSimilarityMiner, copies=COPIES),
    ),
    Case(
        f"IAA, {COPIES} copies + contrastive",
        training_step(_contrastive),
        training_step(_adapted(_contrastive)),
        goal=2.2,
        grows_with=("batch", "dimension"),
        enlarged=training_step(_contrastive, copies=COPIES),
    ),
    Case(
        "Metrix + contrastive",
        training_step(_contrastive),
        training_step(_metric_mixup(_contrastive)),
        goal=2.5,
        grows_with=("batch", "dimension"),
    ),
    Case(
        "Metrix + multi-similarity",
        training_step(_multi_similarity, miners.MultiSimilarityMiner),
        training_step(_metric_mixup(_multi_similarity), miners.MultiSimilarityMiner),
        goal=2.5,
        grows_with=("batch", "dimension"),
    ),
    Case(
        "IAA statistics of a batch: 11,318 classes beside 100",
        batch_update(100),
        batch_update(None),
        goal=2.0,
        size=Size(classes=11_318),
    ),
    Case(
        "IAA neighbour correction, 11,318 classes, beside two products",
        two_products,
        neighbor_correction,
        goal=1.4,
        size=Size(classes=11_318),
    ),
    Case(
        "IDML similarity to 11,318 proxies beside the cosine",
        compared(_cosine, with_proxies=True, doubled=False),
        compared(_introspective, with_proxies=True, doubled=True),
        goal=1.2,
        size=Size(classes=11_318),
    ),
    Case(
        "IDML similarity, 512 rows, beside the cosine",
        compared(_cosine, with_proxies=False, doubled=False),
        compared(_introspective, with_proxies=False, doubled=True),
        goal=2.2,
        size=Size(batch=512),
        grows_with=("batch", "dimension"),
    ),
    Case(
        "IDML + proxy anchor, 11,318 classes",
        training_step(_proxy_anchor, by_class=True),
        training_step(_introspective_proxy_anchor, by_class=True, doubled=True),
        goal=1.2,
        size=Size(classes=11_318),
        grows_with=("batch", "classes", "dimension"),
    ),
)
