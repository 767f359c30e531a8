"""Builds the parts of a training from its configuration."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from pytorch_metric_learning.distances import BaseDistance
from pytorch_metric_learning.trainers import BaseTrainer
from torch import nn
from torch.nn.utils import clip_grad_value_
from tqdm import tqdm

from benchmarks.config.compose import RunConfig
from benchmarks.config.targets import deferred
from benchmarks.errors import UserError, unknown
from benchmarks.training.embedders import Residual, mlp
from benchmarks.training.seeds import stream_seed
from benchmarks.trunks.width import feature_width
from pml_aug.distances import check_introspective
from pml_aug.wrappers import IntraClassAdaptiveAugmentation
from pml_aug.wrappers.base import LossWrapper

Hook = Callable[[Any], Any]


LARGEST_PROBE = 512  # rows of the batch that a method is tried on


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
        embedder = _embedder(config, in_features)
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
            schedulers[key] = _make("protocol.lr_scheduler", protocol.lr_scheduler, optimizer)
    return Parts(models, loss_funcs, miners, optimizers, schedulers)


def build_trunk(config: RunConfig, channels: int, image_size: int | None) -> tuple[Any, int]:
    """The trunk, initialised from the run's seed, and the number of its features; arguments as in :func:`build`.

    Raises:
        UserError: if it cannot be built, or does not take such images.
    """
    with torch.random.fork_rng():
        torch.manual_seed(stream_seed(config.seed, "initial weights of the trunk"))
        trunk = _trunk(config, channels)
        return trunk, _feature_width(config, trunk, channels, image_size)


def check(config: RunConfig) -> None:
    """Build everything once, with few classes, so that mistakes are reported before any data are read.

    Raises:
        UserError: as :func:`build` does, and for a loss or method that has no effect on the batches of the protocol.
    """
    for key in ("train_images", "eval_images"):
        _make(f"protocol.{key}", getattr(config.protocol, key))
    cpu = torch.device("cpu")
    classes = min(config.protocol.batch_size, LARGEST_PROBE)
    kind = config.data.kind
    # an npz file may hold grey images or colour, and what a file of features holds is not known yet
    image_size = None if kind in ("npz", "features") else config.data.image_size
    channels = {"glyphs": 1, "features": config.protocol.embedding_size}.get(kind, 3)
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
    written = ", ".join(f"{key}={value}" for key, value in config.loss.criterion.items() if key != "_target_")
    with torch.no_grad(), _refused(name, f" (with {written})", "computed"):
        embedder = parts.models["embedder"]
        linear = (layer.in_features for layer in embedder.modules() if isinstance(layer, nn.Linear))
        width = next(linear, config.protocol.embedding_size)  # an identity has no layers
        embeddings = embedder(torch.randn(2 * len(labels), width))
        for wrapper in wrappers:
            if isinstance(wrapper, IntraClassAdaptiveAugmentation):
                wrapper.refresh(embeddings, labels.repeat(2))
        batch = embeddings[: len(labels)], labels
        loss(*batch, None if miner is None else miner(*batch))
    idle = [type(wrapper).__name__ for wrapper in wrappers if vars(wrapper).get("num_synthetic") == 0]
    if idle and per_class is not None:
        raise UserError(
            f"{name}: {' and '.join(idle)} makes no synthetic points from batches of {config.protocol.batch_size} with "
            f"{per_class} images per class (loss.images_per_class), so the training would be that of the baseline"
        )


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
    with _refused(f"method={config.method.name}"):
        return _partial(node)(**arguments)


def make_hook(config: RunConfig, then: Hook) -> Hook:
    """The method's hook for the end of an epoch, which calls `then` last; `then` itself if it has none."""
    node = config.method.hook
    if node is None:
        return then
    return _make(f"method={config.method.name}", node, num_epochs=config.protocol.epochs, then=then)


def _trunk(config: RunConfig, channels: int) -> Any:
    name = f"trunk={config.trunk.name}"
    known = {"in_channels": config.trunk.channels or channels}
    trunk = _make(name, config.trunk.network, **{k: v for k, v in known.items() if k not in config.trunk.network})
    if config.trunk.freeze == "all":
        trunk.requires_grad_(False)
    for key, trains in (("freeze", False), ("unfreeze", True)):
        named = getattr(config.trunk, key)
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
    with _refused(f"trunk={config.trunk.name}"):
        if config.data.kind == "features":
            return feature_width(trunk, (channels,))
        return feature_width(trunk, (config.trunk.channels or channels, size, size))


def _embedder(config: RunConfig, in_features: int) -> nn.Module:
    """A linear head, or the method's, whose semantic layer starts from the weights of the linear one."""
    size, settings = config.protocol.embedding_size, config.protocol.embedder
    if settings.kind != "linear":
        return _other_embedder(config, in_features)
    linear = nn.Linear(in_features, size, bias=settings.bias is not None)
    if settings.init is not None:
        _make("protocol.embedder.init", settings.init, linear.weight)
    if settings.bias == "zero":
        nn.init.zeros_(linear.bias)
    head: Any = linear
    if config.method.head is not None:
        if settings.bias is None:
            raise UserError(
                f"method={config.method.name} has a head with a bias: protocol.embedder.bias must not be null"
            )
        name = f"method={config.method.name}"
        head = _make(name, config.method.head, in_features=in_features, embedding_size=size)
        head.semantic_layer.load_state_dict(linear.state_dict())
    if settings.layer_norm:
        return nn.Sequential(nn.LayerNorm(in_features, elementwise_affine=False), head)
    return head


def _other_embedder(config: RunConfig, in_features: int) -> nn.Module:
    size, settings = config.protocol.embedding_size, config.protocol.embedder
    if config.method.head is not None:
        raise UserError(
            f"method={config.method.name} has an embedder of its own: protocol.embedder.kind must be linear, but is "
            f"{settings.kind}"
        )
    hidden = settings.hidden_size or in_features
    embedder: nn.Module
    if settings.kind == "mlp":
        embedder = mlp(in_features, hidden, size, settings.activation, settings.dropout)
    elif in_features != size:
        raise UserError(
            f"protocol.embedder.kind={settings.kind} gives embeddings of the size of the features: set "
            f"protocol.embedding_size={in_features}"
        )
    elif settings.kind == "residual":
        embedder = Residual(in_features, hidden, settings.activation, settings.dropout)
    else:
        embedder = nn.Identity()
    return (
        nn.Sequential(nn.LayerNorm(in_features, elementwise_affine=False), embedder)
        if settings.layer_norm
        else embedder
    )


def _loss(config: RunConfig, num_classes: int, embedder: nn.Module) -> tuple[nn.Module, dict[str, nn.Module]]:
    known: dict[str, Any] = {"num_classes": num_classes, "embedding_size": config.protocol.embedding_size}
    name = config.loss.name
    subject = f"loss={name}" if config.method.distances is None else f"loss={name} method={config.method.name}"
    measured: dict[str, Any] = {}
    if config.method.distances is not None:
        with torch.random.fork_rng():  # the loss's own weights are the same as without the method
            measured["distance"] = _distance(config, _make(subject, config.loss.criterion, **known).distance)
    loss = _make(subject, {**config.loss.criterion, **measured}, **known)
    has_weights = any(True for _ in loss.parameters())
    if has_weights and config.loss.proxy_lr is None:
        raise UserError(f"loss={name} has weights of its own, which would not be trained: set loss.proxy_lr")
    if not has_weights and config.loss.proxy_lr is not None:
        raise UserError(
            f"loss={name} has no weights of its own: loss.proxy_lr must be null, not {config.loss.proxy_lr}"
        )
    miner = None if config.loss.miner is None else _make(subject, {**config.loss.miner, **measured})
    for wrapper in (config.method.wrapper, config.method.outer_wrapper):
        if wrapper is None:
            continue
        known["miner"] = None
        if miner is not None and "miner" in _accepted(_partial(wrapper)):
            known["miner"], miner = miner, None
        loss = _make(f"loss={name} method={config.method.name}", wrapper, loss, **known)
    with _refused(f"loss={name} method={config.method.name}"):
        check_introspective(loss, miner, embedder)
    return loss, {} if miner is None else {"tuple_miner": miner}


def _distance(config: RunConfig, own: BaseDistance) -> BaseDistance:
    """The method's distance of the same kind as the loss's own, similarity or distance, and of the same power."""
    assert config.method.distances is not None
    node = config.method.distances["similarity" if own.is_inverted else "distance"]
    return _partial(node)(embedding_size=config.protocol.embedding_size, power=own.power)


def _make(subject: str, node: dict[str, Any], *args: Any, **known: Any) -> Any:
    """The object that a node describes; it gets those of the ``known`` values that its class accepts."""
    partial = _partial(node)
    accepted = _accepted(partial)
    written = ", ".join(f"{key}={value}" for key, value in node.items() if key != "_target_")
    with _refused(subject, f" (with {written})" if written else ""):
        return partial(*args, **{name: value for name, value in known.items() if name in accepted})


@contextmanager
def _refused(subject: str, written: str = "", task: str = "built") -> Iterator[None]:
    """Turn any error inside into a UserError that names ``subject``.

    A configuration may give any values to any class, and libraries raise errors of all types for bad ones.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{subject} cannot be {task}: {said}{written}") from error


def _partial(node: dict[str, Any]) -> functools.partial:
    with _refused(str(node.get("_target_"))):
        return deferred(node)


def _accepted(partial: functools.partial) -> set[str]:
    """Names of the arguments, with those that a class passes on to its base class (as CosFaceLoss does)."""
    accepted: set[str] = set()
    for maker in inspect.getmro(partial.func)[:-1] if inspect.isclass(partial.func) else [partial.func]:
        parameters = inspect.signature(maker).parameters
        accepted |= set(parameters)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            break
    return accepted


def _optimizer(config: RunConfig, model: nn.Module, changed: Mapping[str, float | None]) -> torch.optim.Optimizer:
    for key, rate in (
        ("protocol.optimizer.lr", config.protocol.optimizer.get("lr")),
        ("loss.proxy_lr", config.loss.proxy_lr),
    ):
        if rate == 0:
            raise UserError(f"{key} must be above 0, but got 0, with which nothing is learnt")
    node = config.protocol.optimizer | {key: value for key, value in changed.items() if value is not None}
    return _make("protocol.optimizer", node, _trainable(model))


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
