"""What one training step asks of an accelerator, counted on a pretended one: kernels, and waits of the host."""

from contextlib import ExitStack
from dataclasses import replace
from typing import NamedTuple

import torch

from benchmarks.config.compose import RunConfig
from benchmarks.data import ImageArrays
from benchmarks.data.split import Split
from benchmarks.profiling.cost.counting import count
from benchmarks.profiling.cost.steps import Step
from benchmarks.profiling.speed.pieces import training
from benchmarks.training.pixel_store import store_of

BATCH, SIDE = 8, 64  # of crops at most: the counts are those of any batch
FEW, MORE = 1, 2  # steps of an epoch: their difference leaves out what is done once an epoch


class Demands(NamedTuple):
    """Of one step."""

    kernels: int  # operations that are no views of others; optimizers run parameter by parameter
    waits: int  # operations that make the host wait for the device


def demands(config: RunConfig, data: ImageArrays, split: Split) -> Demands:
    """Of a whole training step with the images on the device, uncompiled and in float32.

    Images, batches, trunk, head, miner, loss, backward and optimizers are those of a training.
    """
    images = dict(config.protocol.train_images)
    if "size" in images:
        images["size"] = min(images["size"], SIDE)
    protocol = replace(config.protocol, batch_size=BATCH, train_images=images)
    config = replace(config, protocol=replace(protocol, precision="float32", compile=False, channels_last=False))
    few, more = (_of_epoch(config, data, split, steps) for steps in (FEW, MORE))
    return Demands(*((after - before) // (MORE - FEW) for before, after in zip(few, more, strict=True)))


def _of_epoch(config: RunConfig, data: ImageArrays, split: Split, steps: int) -> Demands:
    with ExitStack() as stack:

        def build(device: str) -> Step:
            store_of(data, torch.device(device), on_device=True)
            made = stack.enter_context(training(config, data, split, torch.device(device), steps))
            trainer = made.trainer
            return lambda: trainer.train(trainer.epoch + 1, trainer.epoch + 1)

        counts = count(build)
    return Demands(counts.kernels, counts.waits)
