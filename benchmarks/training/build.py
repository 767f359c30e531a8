"""Builds the parts of a training from its configuration."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from pytorch_metric_learning.distances import BaseDistance
from pytorch_metric_learning.trainers import BaseTrainer
from torch import nn
from torch.nn.utils import clip_grad_value_

from pml_aug.distances import check_introspective

from ..config.compose import RunConfig
from ..config.parts import TrunkConfig
from ..errors import UserError, unknown
from ..trunks.width import feature_width
from .embedders import make_embedder
from .nodes import accepted_by, make, make_module, partial_of, refused
from .seeds import stream_seed

Hook = Callable[[Any], Any]


class Parts(NamedTuple):
    """The arguments of PML's trainer that a configuration describes."""

    models: dict[str, nn.Module]  # trunk, embedder
    loss_funcs: dict[str, nn.Module]  # metric_loss: the baseline, or the method's wrapper around it
    mining_funcs: dict[str, nn.Module]  # tuple_miner, unless there is none or the wrapper took it
    optimizers: dict[str, torch.optim.Optimizer]
    lr_schedulers: dict[str, Any]  # one per optimizer, or none


def build(
    config: RunConfig, num_classes: int, channels: int, device: torch.device, image_size: int | None = None
) -> Parts:
    """The parts of one training on ``device``, initialised from the run's seed.

    The random streams of weights and proxies do not depend on the method, so a method and its baseline start from the
    same weights.

    Args:
        num_classes: training classes.
        channels: of the images, 1 or 3.
        image_size: pixels per side of the images; None while the data are not read yet.

    Raises:
        UserError: a part cannot be built, or the loss, its miner and the method cannot be combined.
    """
    with torch.random.fork_rng():
        trunk, in_features = build_trunk(config, channels, image_size)
        torch.manual_seed(stream_seed(config.seed, "initial weights of the embedder"))
        settings, size = config.protocol.embedder, config.protocol.embedding_size
        embedder = make_embedder(settings, in_features, size, config.method.name, config.method.head)
        torch.manual_seed(stream_seed(config.seed, "initial weights of the loss"))
        loss, miners = _loss(config, num_classes, embedder)
    models = {"trunk": trunk.to(device), "embedder": embedder.to(device)}
    loss_funcs = {"metric_loss": loss.to(device)}
    protocol = config.protocol
    own: dict[str, tuple[nn.Module, dict[str, float | None]]] = {
        "trunk": (trunk, {}),
        "embedder": (embedder, {"lr": protocol.embedder_lr, "weight_decay": protocol.embedder_weight_decay}),
    }
    if config.loss.proxy_lr is not None:
        own["metric_loss"] = (loss, {"lr": config.loss.proxy_lr, "weight_decay": config.loss.proxy_weight_decay})
    optimizers = {
        f"{name}_optimizer": _optimizer(config, model, changed)
        for name, (model, changed) in own.items()
        if _trainable(model)
    }
    if not {"trunk_optimizer", "embedder_optimizer"} & optimizers.keys():
        raise UserError(
            f"trunk={config.trunk.name} and protocol.embedder.kind={protocol.embedder.kind} leave nothing to train: "
            "choose another embedder, or leave layers of the trunk unfrozen"
        )
    schedulers = {}
    if protocol.lr_scheduler is not None:
        for name, optimizer in optimizers.items():
            key = f"{name.removesuffix('_optimizer')}_scheduler_by_{protocol.lr_scheduler_step}"
            schedulers[key] = make("protocol.lr_scheduler", protocol.lr_scheduler, optimizer)
    return Parts(models, loss_funcs, miners, optimizers, schedulers)


def build_trunk(config: RunConfig, channels: int, image_size: int | None) -> tuple[Any, int]:
    """The trunk, initialised from the run's seed, and the number of its features; arguments as in :func:`build`.

    Raises:
        UserError: if it cannot be built, or does not take such images.
    """
    with torch.random.fork_rng():
        torch.manual_seed(stream_seed(config.seed, "initial weights of the trunk"))
        trunk = make_trunk(config.trunk, channels)
        return trunk, _feature_width(config, trunk, channels, image_size)


def make_trainer(config: RunConfig, plain: type[BaseTrainer], **arguments: Any) -> Any:
    """The method's trainer, or the plain one, with the protocol's settings of the trunk and of gradient clipping.

    BatchNorm is frozen as in the reality check: PML's trainer keeps these layers in eval mode, so that their running
    statistics do not change, while their affine parameters are trained.
    """
    protocol = config.protocol
    arguments |= {"freeze_trunk_batchnorm": protocol.freeze_batchnorm, "warmup_epochs": protocol.warmup_epochs}
    if protocol.clip_grad is not None:
        parts = [*arguments["models"].values(), *arguments["loss_funcs"].values()]
        weights = [weight for part in parts for weight in _trainable(part)]
        # one clipper for all parts: PyTorch cannot clip an empty list, and during warm-up the trunk has no gradients
        clipper = functools.partial(clip_grad_value_, weights, protocol.clip_grad)
        arguments["gradient_clippers"] = {"trunk_grad_clipper": clipper}
    node = config.method.trainer
    if node is None:
        return plain(**arguments)
    with refused(f"method={config.method.name}"):
        return partial_of(node)(**arguments)


def make_hook(config: RunConfig, then: Hook) -> Hook:
    """The method's hook for the end of an epoch, which calls `then` last; `then` itself if it has none."""
    node = config.method.hook
    if node is None:
        return then
    return make(f"method={config.method.name}", node, num_epochs=config.protocol.epochs, then=then)


def make_trunk(config: TrunkConfig, channels: int) -> Any:
    """The trunk for images of so many channels, with random or pretrained weights, as the configuration says.

    Raises:
        UserError: if it cannot be built.
    """
    name = f"trunk={config.name}"
    known = {"in_channels": config.channels or channels}
    trunk = make_module(name, config.network, **{k: v for k, v in known.items() if k not in config.network})
    if config.freeze == "all":
        trunk.requires_grad_(False)
    for key, trains in (("freeze", False), ("unfreeze", True)):
        named = getattr(config, key)
        for layer in [] if named == "all" else named:
            try:
                trunk.get_submodule(layer).requires_grad_(trains)
            except AttributeError as error:
                layers = [layer for layer, _ in trunk.named_modules() if layer]
                raise UserError(f"{name}: trunk.{key}: {unknown('layer', layer, layers)}") from error
    return trunk


def _feature_width(config: RunConfig, trunk: nn.Module, channels: int, image_size: int | None) -> int:
    size = config.protocol.eval_images.get("size", image_size)
    if size is None:  # the data are not read yet: the width is not known, and any will do for a check
        return getattr(trunk, "out_features", config.protocol.embedding_size)
    with refused(f"trunk={config.trunk.name}"):
        if config.data.kind == "features":
            return feature_width(trunk, (channels,))
        return feature_width(trunk, (config.trunk.channels or channels, size, size))


def _loss(config: RunConfig, num_classes: int, embedder: nn.Module) -> tuple[nn.Module, dict[str, nn.Module]]:
    name, size = config.loss.name, config.protocol.embedding_size
    known: dict[str, Any] = {"num_classes": num_classes, "embedding_size": size}
    if config.loss.criterion["_target_"].endswith(".P2SGradLoss"):
        known["descriptors_dim"] = size  # its name for the embedding size
    subject = f"loss={name}" if config.method.distances is None else f"loss={name} method={config.method.name}"
    measured: dict[str, Any] = {}
    if config.method.distances is not None:
        with torch.random.fork_rng():  # the loss's own weights are the same as without the method
            measured["distance"] = _distance(config, make_module(subject, config.loss.criterion, **known).distance)
    loss = make_module(subject, {**config.loss.criterion, **measured}, **known)
    has_weights = any(True for _ in loss.parameters())
    if has_weights and config.loss.proxy_lr is None:
        raise UserError(f"loss={name} has weights of its own, which would not be trained: set loss.proxy_lr")
    if not has_weights and config.loss.proxy_lr is not None:
        raise UserError(
            f"loss={name} has no weights of its own: loss.proxy_lr must be null, not {config.loss.proxy_lr}"
        )
    miner = None if config.loss.miner is None else make_module(subject, {**config.loss.miner, **measured})
    for wrapper in (config.method.wrapper, config.method.outer_wrapper):
        if wrapper is None:
            continue
        known["miner"] = None
        if miner is not None and "miner" in accepted_by(partial_of(wrapper)):
            known["miner"], miner = miner, None
        loss = make_module(f"loss={name} method={config.method.name}", wrapper, loss, **known)
    with refused(f"loss={name} method={config.method.name}"):
        check_introspective(loss, miner, embedder)
    return loss, {} if miner is None else {"tuple_miner": miner}


def _distance(config: RunConfig, own: BaseDistance) -> BaseDistance:
    """The method's distance of the same kind as the loss's own, similarity or distance, and of the same power."""
    assert config.method.distances is not None
    node = config.method.distances["similarity" if own.is_inverted else "distance"]
    return partial_of(node)(embedding_size=config.protocol.embedding_size, power=own.power)


def _optimizer(config: RunConfig, model: nn.Module, changed: Mapping[str, float | None]) -> torch.optim.Optimizer:
    for key, rate in (
        ("protocol.optimizer.lr", config.protocol.optimizer.get("lr")),
        ("loss.proxy_lr", config.loss.proxy_lr),
    ):
        if rate == 0:
            raise UserError(f"{key} must be above 0, but got 0, with which nothing is learnt")
    node = config.protocol.optimizer | {key: value for key, value in changed.items() if value is not None}
    return make("protocol.optimizer", node, _trainable(model))


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
