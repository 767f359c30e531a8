"""The wrappers that every test of the contract goes through. A new wrapper joins by a line in WRAPPERS."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from batches import random_batch
from pytorch_metric_learning import losses
from pytorch_metric_learning.losses import BaseMetricLossFunction
from torch import Tensor

from pml_aug import wrappers

NUM_CLASSES, SIZE = 6, 8


class Case(NamedTuple):
    """A wrapper with a loss that fits it."""

    baseline: Callable[..., BaseMetricLossFunction]  # makes the loss to wrap; takes the loss's own options
    wrap: Callable[[BaseMetricLossFunction], BaseMetricLossFunction]  # the wrapper as it is used
    switched_off: Callable[[BaseMetricLossFunction], BaseMetricLossFunction]  # the same where nothing is synthesised


def _proxy_anchor(**options: object) -> BaseMetricLossFunction:
    return losses.ProxyAnchorLoss(num_classes=NUM_CLASSES, embedding_size=SIZE, **options)


def _soft_triple(**options: object) -> BaseMetricLossFunction:
    return losses.SoftTripleLoss(num_classes=NUM_CLASSES, embedding_size=SIZE, centers_per_class=3, **options)


def _augmented(loss: BaseMetricLossFunction, **options: object) -> BaseMetricLossFunction:
    """IAA with the statistics of a training set."""
    generator = torch.Generator().manual_seed(1)
    wrapper = wrappers.IntraClassAdaptiveAugmentation(loss, num_classes=NUM_CLASSES, embedding_size=SIZE, **options)
    wrapper.refresh(torch.randn(60, SIZE, generator=generator), torch.arange(60) % NUM_CLASSES)
    return wrapper


WRAPPERS = {
    "expansion of multi-similarity": Case(
        losses.MultiSimilarityLoss,
        wrappers.EmbeddingExpansion,
        lambda loss: wrappers.EmbeddingExpansion(loss, num_points=0),
    ),
    "expansion of triplets, all pairs": Case(
        losses.TripletMarginLoss,
        lambda loss: wrappers.EmbeddingExpansion(loss, pairing="all_pairs", anchor_points="own"),
        lambda loss: wrappers.EmbeddingExpansion(loss, num_points=0),
    ),
    "expansion of soft triple": Case(
        _soft_triple,
        lambda loss: wrappers.EmbeddingExpansion(loss, anchor_points="own"),
        lambda loss: wrappers.EmbeddingExpansion(loss, num_points=0),
    ),
    "expansion of proxy synthesis": Case(
        _proxy_anchor,
        lambda loss: wrappers.EmbeddingExpansion(wrappers.ProxySynthesis(loss)),
        lambda loss: wrappers.EmbeddingExpansion(wrappers.ProxySynthesis(loss, ratio=0), num_points=0),
    ),
    "proxy synthesis of proxy anchor": Case(
        _proxy_anchor, wrappers.ProxySynthesis, lambda loss: wrappers.ProxySynthesis(loss, ratio=0)
    ),
    "proxy synthesis of soft triple": Case(
        _soft_triple,
        lambda loss: wrappers.ProxySynthesis(loss, ratio=0.5),
        lambda loss: wrappers.ProxySynthesis(loss, ratio=0),
    ),
    "adaptive augmentation of multi-similarity": Case(
        losses.MultiSimilarityLoss, _augmented, lambda loss: _augmented(loss, num_copies=0)
    ),
    "adaptive augmentation of proxy anchor": Case(
        _proxy_anchor, _augmented, lambda loss: _augmented(loss, strength=0.0)
    ),
    "adaptive augmentation of expansion": Case(
        losses.MultiSimilarityLoss,
        lambda loss: _augmented(wrappers.EmbeddingExpansion(loss)),
        lambda loss: _augmented(wrappers.EmbeddingExpansion(loss, num_points=0), num_copies=0),
    ),
    "adaptive augmentation of expansion of proxy synthesis": Case(
        _proxy_anchor,
        lambda loss: _augmented(wrappers.EmbeddingExpansion(wrappers.ProxySynthesis(loss))),
        lambda loss: _augmented(
            wrappers.EmbeddingExpansion(wrappers.ProxySynthesis(loss, ratio=0), num_points=0), num_copies=0
        ),
    ),
    "adaptive augmentation of proxy synthesis": Case(
        _proxy_anchor,
        lambda loss: _augmented(wrappers.ProxySynthesis(loss)),
        lambda loss: _augmented(wrappers.ProxySynthesis(loss, ratio=0), num_copies=0),
    ),
}


@pytest.fixture(params=WRAPPERS, ids=lambda name: name.replace(" ", "-").replace(",", ""))
def case(request: pytest.FixtureRequest) -> Case:
    return WRAPPERS[request.param]


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Twelve rows, four classes of three."""
    return random_batch(size=12, num_classes=4, width=SIZE)
