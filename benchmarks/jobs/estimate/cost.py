"""How much a training does, and what that costs."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.config.compose import RunConfig
from benchmarks.data.split import Split

# of a protocol, what decides how long a step or an evaluation takes
PACE = ("batch_size", "embedding_size", "train_images", "eval_images", "precision", "compile", "channels_last")


class Cost(NamedTuple):
    """Of one training."""

    step: float  # seconds
    epoch: float  # seconds: what the method does after an epoch, unless that is in the steps
    score: float  # seconds an image that is scored
    checkpoint: int  # bytes; 0 where unknown
    files: int  # bytes that stay


class Amount(NamedTuple):
    """Of one training, at most: patience may end it before."""

    steps: int
    epochs: int
    images: int  # that train
    scored: int  # images that are scored, as often as they are

    def seconds(self, cost: Cost) -> float:
        return self.steps * cost.step + self.epochs * cost.epoch + self.scored * cost.score


def amount_of(config: RunConfig, split: Split) -> Amount:
    """What a whole training does."""
    protocol = config.protocol
    steps = protocol.epochs * protocol.iterations(len(split.train))
    evaluations = 1 + -(-protocol.epochs // protocol.evaluate_every)
    test = len(split.test) + (0 if split.gallery is None else len(split.gallery))
    scored = scored_images(len(split.val), test, evaluations, protocol.test_scoring)
    return Amount(steps, protocol.epochs, steps * protocol.batch_size, scored)


def scored_images(val: int, test: int, evaluations: int, test_scoring: str) -> int:
    """Images scored in a training, as often as they are.

    Example:
        >>> scored_images(val=10, test=100, evaluations=3, test_scoring="once")
        130
    """
    return evaluations * val + {"never": 0, "once": 1, "every": evaluations}[test_scoring] * test


def kind_of(identity: Mapping[str, Any]) -> str:
    """What trainings of one pace have in common: of the identity, what is not the fold, the seed or a length."""
    protocol = {key: identity["protocol"].get(key) for key in PACE}
    names = identity["loss"]["name"], identity["method"]["name"]
    return json.dumps([identity["data"], names, identity["trunk"], protocol], sort_keys=True)


def mean(costs: Sequence[Cost]) -> Cost:
    """Of each figure; checkpoints and files at their largest. Of no costs, nothing."""
    if not costs:
        return Cost(0.0, 0.0, 0.0, 0, 0)
    step, epoch, score = (sum(figures) / len(costs) for figures in list(zip(*costs, strict=True))[:3])
    return Cost(step, epoch, score, max(cost.checkpoint for cost in costs), max(cost.files for cost in costs))
