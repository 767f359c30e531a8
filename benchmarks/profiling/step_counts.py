"""Kernels and host waits of one whole training step, counted on a simulated accelerator."""

from contextlib import ExitStack
from dataclasses import replace
from typing import NamedTuple

import torch

from ..config.compose import RunConfig
from ..data import ImageArrays
from ..data.split import Split
from ..training.pixel_store import store_of
from .loss_steps import Step
from .op_counter import count
from .training_steps import training

BATCH, SIDE = 8, 64  # images and their largest side; the counts hold for any
FEW, MORE = 1, 2  # steps of an epoch; their difference leaves out what happens once per epoch


class StepCounts(NamedTuple):
    """Counts of one training step."""

    kernels: int  # operations that are not views; optimizers run parameter by parameter
    waits: int  # operations that make the host wait for the device


def count_step(config: RunConfig, data: ImageArrays, split: Split) -> StepCounts:
    """The counts of a training step with the images on the device, uncompiled and in float32.

    Images, batches, trunk, head, miner, loss, backward and optimizers are those of a training.
    """
    images = dict(config.protocol.train_images)
    if "size" in images:
        images["size"] = min(images["size"], SIDE)
    protocol = replace(config.protocol, batch_size=BATCH, train_images=images)
    config = replace(config, protocol=replace(protocol, precision="float32", compile=False, channels_last=False))
    few, more = (_of_epoch(config, data, split, steps) for steps in (FEW, MORE))
    return StepCounts(*((after - before) // (MORE - FEW) for before, after in zip(few, more, strict=True)))


def _of_epoch(config: RunConfig, data: ImageArrays, split: Split, steps: int) -> StepCounts:
    with ExitStack() as stack:

        def build(device: str) -> Step:
            store_of(data, torch.device(device), on_device=True)
            made = stack.enter_context(training(config, data, split, torch.device(device), steps))
            trainer = made.trainer
            return lambda: trainer.train(trainer.epoch + 1, trainer.epoch + 1)

        counts = count(build)
    return StepCounts(counts.kernels, counts.waits)
