"""Steps of trainings on features, in turns with a plain PyTorch loop over the same parts."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from pytorch_metric_learning.samplers import MPerClassSampler

from ..config.compose import RunConfig
from ..data.feature_arrays import FeatureArrays
from ..data.split import Split
from ..training.training import Training
from .timing import interleaved_medians
from .training_steps import step, training
from .writing import markdown_table

ROWS, PER_CLASS = 10_000, 20  # of the random features
WARM_UP = 1  # rounds


class FeatureRow(NamedTuple):
    """Steps per second of one loss and method on features."""

    step: str
    features: int  # per row
    batch: int
    steps_per_second: float
    plain_steps_per_second: float  # of a plain loop

    @property
    def share(self) -> float:
        """Of the plain loop's steps per second."""
        return self.steps_per_second / self.plain_steps_per_second


def measure_feature_steps(
    configs: Sequence[RunConfig], widths: Sequence[int], device: torch.device, steps: int, rounds: int
) -> list[FeatureRow]:
    """The row of each configuration without a trainer of its own, for each number of features."""
    rows = []
    for width in widths:
        data, split = random_features(width)
        for config in configs:
            if config.method.trainer is not None:  # what it does in a step is not the plain loop's
                continue
            with training(config, data, split, device, steps) as made:
                calls = {"ours": step("ours", made).call, "plain": plain_epoch(made)}
                seconds = interleaved_medians(calls, rounds, WARM_UP, str(device))
            names = [config.loss.name] if config.method.name == "none" else [config.loss.name, config.method.name]
            rates = (steps / seconds[name] for name in ("ours", "plain"))
            rows.append(FeatureRow(" + ".join(names), width, config.protocol.batch_size, *rates))
    return rows


def plain_epoch(made: Training) -> Callable[[], None]:
    """An epoch as one writes it by hand: features in a tensor, PML's sampler, and head, loss, miner and optimizers of
    the training, which both loops train in turns.
    """
    trainer, config = made.trainer, made.config
    values, labels = trainer.dataset.values, trainer.dataset.labels
    assert values is not None and config.loss.images_per_class is not None
    batch_size = config.protocol.batch_size
    length = trainer.iterations_per_epoch * batch_size
    sampler = MPerClassSampler(labels.cpu().numpy(), config.loss.images_per_class, batch_size, length)
    head, loss = made.parts.models["embedder"], made.parts.loss_funcs["metric_loss"]
    miner, optimizers = made.parts.mining_funcs.get("tuple_miner"), made.parts.optimizers.values()

    def epoch() -> None:
        for rows in torch.tensor(list(sampler), device=values.device).split(batch_size):
            for optimizer in optimizers:
                optimizer.zero_grad()
            embeddings, of_batch = head(values[rows]), labels[rows]
            tuples = None if miner is None else miner(embeddings, of_batch)
            loss(embeddings, of_batch, tuples).backward()
            for optimizer in optimizers:
                optimizer.step()

    return epoch


def random_features(width: int) -> tuple[FeatureArrays, Split]:
    """Random features, (10,000, width), of 500 classes; all but a few rows are for training."""
    labels = np.arange(ROWS) // PER_CLASS
    values = np.random.default_rng(0).normal(size=(ROWS, width)).astype(np.float32)
    names = [str(number) for number in range(ROWS // PER_CLASS)]
    few = np.arange(2 * PER_CLASS)
    return FeatureArrays("random", values, labels, names, None, []), Split(np.arange(ROWS), few, few)


def feature_table(rows: Sequence[FeatureRow]) -> str:
    """Markdown: steps per second on features, and as a share of the plain loop's."""
    measured = [
        [row.step, f"{row.features:,}", f"{row.steps_per_second:,.0f}", f"{row.plain_steps_per_second:,.0f}",
         f"{row.share:.2f}"]
        for row in rows
    ]  # fmt: skip
    header = ["step on features", "features", "steps/s", "plain loop, steps/s", "share of the plain loop"]
    return markdown_table(header, measured, numbers=True)
