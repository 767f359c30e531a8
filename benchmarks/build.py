"""From a configuration to objects: the only place that resolves names of classes."""

import functools
import inspect
from typing import Any, NamedTuple

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from torch import nn

from .config import RunConfig
from .errors import Refusal
from .seeds import stream_seed


class Parts(NamedTuple):
    """What PML's trainer is made of."""

    models: dict[str, nn.Module]  # trunk, embedder
    loss_funcs: dict[str, nn.Module]  # metric_loss: the bare loss, or the method's wrapper around it
    mining_funcs: dict[str, nn.Module]  # tuple_miner, unless there is none or the wrapper took it
    optimizers: dict[str, torch.optim.Optimizer]


def build(config: RunConfig, num_classes: int, channels: int, device: torch.device) -> Parts:
    """The parts of one training on ``device``, initialised from the run's seed.

    Weights and proxies are drawn from streams that know nothing of the method, so a method and the bare loss start
    alike.

    Args:
        num_classes: training classes.
        channels: of the images, 1 or 3.

    Raises:
        Refusal: if the loss, its miner and the method do not go together.
    """
    with torch.random.fork_rng():
        torch.manual_seed(stream_seed(config.seed, "initial weights"))
        trunk = _make(f"trunk={config.trunk.name}", config.trunk.network, in_channels=channels)
        embedder = nn.Linear(trunk.out_features, config.protocol.embedding_size)
        loss, miners = _loss(config, num_classes)
    models = {"trunk": trunk.to(device), "embedder": embedder.to(device)}
    loss_funcs = {"metric_loss": loss.to(device)}
    optimizers = {f"{name}_optimizer": _optimizer(config, model) for name, model in models.items()}
    if config.loss.proxy_lr is not None:
        optimizers["metric_loss_optimizer"] = _optimizer(config, loss, lr=config.loss.proxy_lr)
    return Parts(models, loss_funcs, miners, optimizers)


def check(config: RunConfig) -> None:
    """Build everything once, small, so that what cannot be built is refused before any data is read.

    Raises:
        Refusal: as :func:`build` does.
    """
    build(config, num_classes=config.protocol.batch_size, channels=1, device=torch.device("cpu"))


def _loss(config: RunConfig, num_classes: int) -> tuple[nn.Module, dict[str, nn.Module]]:
    known: dict[str, Any] = {"num_classes": num_classes, "embedding_size": config.protocol.embedding_size}
    name = config.loss.name
    loss = _make(f"loss={name}", config.loss.criterion, **known)
    has_weights = any(True for _ in loss.parameters())
    if has_weights and config.loss.proxy_lr is None:
        raise Refusal(f"loss={name} has weights of its own, which would never move: set loss.proxy_lr")
    if not has_weights and config.loss.proxy_lr is not None:
        raise Refusal(f"loss={name} has no weights of its own: loss.proxy_lr must be null, not {config.loss.proxy_lr}")
    miner = None if config.loss.miner is None else _make(f"loss={name}", config.loss.miner)
    miners = {} if miner is None else {"tuple_miner": miner}
    if config.method.wrapper is None:
        return loss, miners
    if "miner" in _accepted(_partial(config.method.wrapper)):
        known["miner"], miners = miner, {}
    return _make(f"loss={name} method={config.method.name}", config.method.wrapper, loss, **known), miners


def _make(asked: str, node: dict[str, Any], *args: Any, **known: Any) -> Any:
    """The object of a config node, told those of the ``known`` values that its class accepts."""
    partial = _partial(node)
    accepted = _accepted(partial)
    try:
        return partial(*args, **{name: value for name, value in known.items() if name in accepted})
    except (TypeError, ValueError) as error:
        raise Refusal(f"{asked} cannot be built: {error}") from error


def _partial(node: dict[str, Any]) -> functools.partial:
    try:
        return instantiate(node, _partial_=True, _convert_="all")
    except InstantiationException as error:
        raise Refusal(f"{node.get('_target_')} cannot be built: {error}") from error


def _accepted(partial: functools.partial) -> set[str]:
    return set(inspect.signature(partial.func).parameters)


def _optimizer(config: RunConfig, model: nn.Module, **changed: Any) -> torch.optim.Optimizer:
    return _make("protocol.optimizer", {**config.protocol.optimizer, **changed}, model.parameters())
