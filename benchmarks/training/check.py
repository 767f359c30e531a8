"""Checks of a configuration before any data are read."""

import torch
from pytorch_metric_learning.trainers import BaseTrainer
from torch import nn
from tqdm import tqdm

from pml_aug.wrappers import BatchAndMemory, LossWrapper

from ..config.compose import RunConfig
from ..errors import UserError
from .build import Parts, build, build_trunk, make_hook, make_trainer
from .nodes import arguments_of, make, refused

LARGEST_PROBE = 512  # rows of the batch that a method is tried on


def check(config: RunConfig) -> None:
    """Build everything once, with few classes, so that mistakes are reported before any data are read.

    Raises:
        UserError: as :func:`build` does, and for a loss or method that has no effect on the batches of the protocol.
    """
    for key in ("train_images", "eval_images"):
        make(f"protocol.{key}", getattr(config.protocol, key))
    cpu = torch.device("cpu")
    classes = min(config.protocol.batch_size, LARGEST_PROBE)
    kind = config.data.kind
    # an npz file may hold grey images or colour, and what a file of features holds is not known yet
    image_size = None if kind in ("npz", "features") else config.data.image_size
    channels = {"glyphs": 1, "features": config.protocol.embedding_size}.get(kind, 3)
    if config.loss.is_raw:
        build_trunk(config, channels, image_size)
        return
    parts = build(config, classes, channels, cpu, image_size)
    make_hook(config, then=lambda trainer: True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        _check_effect(config, parts, classes)
    if config.method.trainer is not None:
        make_trainer(
            config,
            BaseTrainer,
            **parts._asdict(),
            batch_size=config.protocol.batch_size,
            dataset=[],
            data_device=cpu,
            progress=tqdm(disable=True),
        )


def _check_effect(config: RunConfig, parts: Parts, classes: int) -> None:
    """Try the loss on one batch of random features, drawn by class as the sampler will.

    Where the sampler draws images at random (``images_per_class`` is null) batches differ, and the run records how
    often its method acted.

    Raises:
        UserError: the loss cannot be computed, or it or a wrapper can do nothing with such a batch.
    """
    name, per_class = f"loss={config.loss.name} method={config.method.name}", config.loss.images_per_class
    if per_class == 1 and config.loss.proxy_lr is None:  # no weights, so no proxies
        raise UserError(
            f"loss={config.loss.name} compares images with each other, and with loss.images_per_class=1 no two of a "
            "batch are of one class: loss.images_per_class must be at least 2"
        )
    loss, miner = parts.loss_funcs["metric_loss"], parts.mining_funcs.get("tuple_miner")
    wrappers = [part for part in loss.modules() if isinstance(part, LossWrapper)]
    labels = (torch.arange(min(config.protocol.batch_size, LARGEST_PROBE)) // (per_class or 2)) % classes
    with torch.no_grad(), refused(name, arguments_of(config.loss.criterion), "computed"):
        embedder = parts.models["embedder"]
        linear = (layer.in_features for layer in embedder.modules() if isinstance(layer, nn.Linear))
        width = next(linear, config.protocol.embedding_size)  # an identity has no layers
        embeddings = embedder(torch.randn(2 * len(labels), width))
        for part in loss.modules():
            if isinstance(part, (LossWrapper, BatchAndMemory)):
                part.prepare(embeddings, labels.repeat(2))
        batch = embeddings[: len(labels)], labels
        loss(*batch, None if miner is None else miner(*batch))
    idle = [type(wrapper).__name__ for wrapper in wrappers if vars(wrapper).get("num_synthetic") == 0]
    if idle and per_class is not None:
        raise UserError(
            f"{name}: {' and '.join(idle)} makes no synthetic points from batches of {config.protocol.batch_size} with "
            f"{per_class} images per class (loss.images_per_class), so the training would be that of the baseline"
        )
