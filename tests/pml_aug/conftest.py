"""The wrappers that every test of the contract goes through: all exported ones, and some around each other."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pytest
from batches import random_batch
from host_losses import accepted_by, make_loss
from pytorch_metric_learning.losses import BaseMetricLossFunction
from torch import Tensor
from wrapper_cases import WRAPPERS, wrapped

from pml_aug.wrappers import EmbeddingExpansion, IntraClassAdaptiveAugmentation, LossWrapper, ProxySynthesis

NUM_CLASSES, SIZE = 6, 8
LOSSES = ("MultiSimilarityLoss", "ProxyAnchorLoss", "SoftTripleLoss")
NESTED = {
    "ProxyAnchorLoss": [
        (ProxySynthesis, EmbeddingExpansion),
        (ProxySynthesis, IntraClassAdaptiveAugmentation),
        (ProxySynthesis, EmbeddingExpansion, IntraClassAdaptiveAugmentation),
    ],
    "MultiSimilarityLoss": [(EmbeddingExpansion, IntraClassAdaptiveAugmentation)],
}


class Case(NamedTuple):
    """A loss with a wrapper, or several, around it."""

    baseline: Callable[..., BaseMetricLossFunction]  # constructs the loss to wrap; takes the loss's own options
    wrap: Callable[[BaseMetricLossFunction], LossWrapper]  # the wrapper with its defaults
    switched_off: Callable[[BaseMetricLossFunction], LossWrapper]  # the wrapper without synthetic points
    adds_values: bool = False  # of two calls of the loss, so that a reducer that returns no number is refused


def _nested(kinds: tuple[type[LossWrapper], ...], off: bool, loss: BaseMetricLossFunction) -> LossWrapper:
    for kind in kinds:
        loss = wrapped(kind, loss, NUM_CLASSES, SIZE, **(kind.off if off else {}))
    return loss


def _case(loss: str, *kinds: type[LossWrapper]) -> Case:
    return Case(
        partial(make_loss, loss, NUM_CLASSES, SIZE), partial(_nested, kinds, False), partial(_nested, kinds, True)
    )


CASES = (
    {
        f"{kind.__name__}-{loss}": _case(loss, kind)
        for kind in WRAPPERS
        for loss in LOSSES
        if loss in accepted_by(kind.__name__)
    }
    | {
        "-".join(kind.__name__ for kind in reversed(kinds)) + f"-{loss}": _case(loss, *kinds)
        for loss, nestings in NESTED.items()
        for kinds in nestings
    }
    | {
        "EmbeddingExpansion-TripletMarginLoss-all_pairs-own": _case("TripletMarginLoss", EmbeddingExpansion)._replace(
            wrap=partial(EmbeddingExpansion, pairing="all_pairs", anchor_points="own")
        ),
        "EmbeddingExpansion-MultiSimilarityLoss-random": _case("MultiSimilarityLoss", EmbeddingExpansion)._replace(
            wrap=partial(EmbeddingExpansion, select="random")
        ),
        "IntraClassAdaptiveAugmentation-MultiSimilarityLoss-shared": _case(
            "MultiSimilarityLoss", IntraClassAdaptiveAugmentation
        )._replace(
            wrap=lambda loss: wrapped(IntraClassAdaptiveAugmentation, loss, NUM_CLASSES, SIZE, variances="shared")
        ),
        "ProxySynthesis-ProxyAnchorLoss-mixtures": _case("ProxyAnchorLoss", ProxySynthesis)._replace(
            wrap=partial(ProxySynthesis, synthetic_proxies=False), adds_values=True
        ),
    }
)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Twelve rows, four classes of three."""
    return random_batch(size=12, num_classes=4, width=SIZE)
