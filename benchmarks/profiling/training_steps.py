"""Timed parts of a training: calls that process a known number of images."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from pml_aug.wrappers import LossWrapper

from ..config.compose import RunConfig
from ..data import ImageArrays
from ..data.split import Split
from ..runs.writer import RunDir
from ..training.precision import autocast
from ..training.train import read_data
from ..training.training import Training

NEVER = 10_000  # epochs, so that nothing that happens between epochs is timed
RANDOM_PER_CLASS = 8


class Timed(NamedTuple):
    """A call and the number of images that it processes."""

    name: str
    call: Callable[[], object]
    images: int


@contextmanager
def training(
    config: RunConfig, data: ImageArrays, split: Split, device: torch.device, steps: int
) -> Iterator[Training]:
    """A real training after its first two epochs of ``steps`` batches; it evaluates nothing and leaves no files.

    Its method augments as it does later in a training: with a full memory, and with a schedule at its end.
    """
    protocol = replace(config.protocol, iterations_per_epoch=steps, epochs=NEVER, evaluate_every=NEVER, warmup_epochs=0)
    method = replace(config.method, hook=_at_its_end(config.method.hook))
    config = replace(config, protocol=protocol, method=method)
    with TemporaryDirectory() as runs:
        folder = RunDir(Path(runs), config.identity())
        folder.prepare()
        made = Training(config, data, split, device, folder, tqdm(disable=True))
        made.goes_on = lambda epoch: True  # type: ignore[method-assign]  # the original reads scores, and there are none
        made.trainer.train(1, 2)
        _prepare(made)
        yield made
        made.tensorboard.close()


def _at_its_end(hook: dict[str, Any] | None) -> dict[str, Any] | None:
    """A hook whose statistics are taken once, after the first epoch, and whose schedule has come to its end."""
    changed = {"baseline_share": 0.5 / NEVER, "every": NEVER} if hook is not None and "baseline_share" in hook else {}
    if hook is not None and {"minimum", "maximum"} <= hook.keys():
        changed["minimum"] = hook["maximum"]
    return hook if hook is None else {**hook, **changed}


def _prepare(made: Training) -> None:
    """Bring the wrappers that have not augmented yet into the state in which they do."""
    trainer = made.trainer
    rows = torch.randn(trainer.batch_size, made.protocol.embedding_size, device=trainer.data_device)
    labels = torch.arange(trainer.batch_size, device=trainer.data_device) // 2
    for part in trainer.loss_funcs["metric_loss"].modules():
        if isinstance(part, LossWrapper) and vars(part).get("num_synthetic") == 0:
            part.prepare(rows, labels)


def step(name: str, made: Training) -> Timed:
    """An epoch of whole steps: images, trunk, head, loss, backward, optimizers."""
    trainer = made.trainer

    def call() -> None:
        trainer.train(trainer.epoch + 1, trainer.epoch + 1)

    return Timed(name, call, trainer.iterations_per_epoch * trainer.batch_size)


def trunk_alone(made: Training) -> Timed:
    """Forward and backward of trunk and head on one batch that is on the device."""
    models, images = made.trainer.models, batch_of(made)

    def call() -> None:
        with autocast(made.protocol.precision, images.device):
            embeddings = models["embedder"](models["trunk"](images))
        embeddings.float().sum().backward()

    return Timed("trunk and head alone", call, len(images))


def data_alone(made: Training) -> Timed:
    """One batch of training images, from the pixel store to the input of the trunk."""
    return Timed("images alone", lambda: batch_of(made), made.trainer.batch_size)


def batch_of(made: Training) -> torch.Tensor:
    """A batch of training images on the device."""
    images, _ = made.trainer.dataset.__getitems__(list(range(made.trainer.batch_size)))
    return images.to(made.trainer.data_device)


def data_for(config: RunConfig, random: int | None) -> tuple[ImageArrays, Split]:
    """The configuration's data, or random colour images of side ``random``, which take the same time."""
    if random is None:
        return read_data(config)
    classes = 2 * config.protocol.batch_size
    labels = np.arange(classes * RANDOM_PER_CLASS) // RANDOM_PER_CLASS
    images = np.random.default_rng(0).integers(256, size=(len(labels), random, random, 3), dtype=np.uint8)
    data = ImageArrays("random", images, labels, [str(number) for number in range(classes)], None, [])
    everything, few = np.arange(len(labels)), np.arange(2 * RANDOM_PER_CLASS)
    return data, Split(everything, few, few)
