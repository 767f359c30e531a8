"""What a training is called, and what it was given, for programs that list many of them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..config.compose import RunConfig

Scalar = bool | int | float | str
LONGEST = 120  # characters of a name, which is a directory's too
OF_PROTOCOL = ("batch_size", "iterations_per_epoch", "epochs", "embedding_size", "optimizer", "embedder")


def readable_name(config: RunConfig) -> str:
    """Data, loss, method, fold and seed of a run.

    Example:
        >>> from benchmarks.config.compose import compose
        >>> readable_name(compose(["data=glyphs_lite0", "loss=triplet", "method=ee", "seed=3"])[0])
        'glyphs_lite0-triplet-ee-fold0-seed3'
    """
    parts = (config.data.name, config.loss.name, config.method.name, f"fold{config.fold}", f"seed{config.seed}")
    return re.sub(r"[^\w.+=-]+", "_", "-".join(parts))[-LONGEST:].lstrip(".-")


def hyperparameters(config: RunConfig) -> dict[str, Scalar]:
    """The choices of a run by dotted key: names, fold and seed, then arguments of loss, method and protocol.

    Example:
        >>> from benchmarks.config.compose import compose
        >>> found = hyperparameters(compose(["loss=triplet", "method=ee", "method.wrapper.num_points=3"])[0])
        >>> found["loss"], found["method.wrapper.num_points"], found["seed"]
        ('triplet', 3, 0)
    """
    identity = config.identity()
    names = {group: identity[group]["name"] for group in ("data", "loss", "method", "trunk", "protocol")}
    protocol = {key: value for key, value in identity["protocol"].items() if key in OF_PROTOCOL}
    arguments = {"loss": identity["loss"], "method": identity["method"], "protocol": protocol}
    return {**names, "fold": config.fold, "seed": config.seed, **dict(flat(arguments))}


def flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Scalar]]:
    """The scalars of a nested mapping by dotted key, without names of configs and what is not set.

    Example:
        >>> dict(flat({"loss": {"name": "triplet", "criterion": {"_target_": "losses.Triplet", "margin": 0.1}}}))
        {'loss.criterion': 'Triplet', 'loss.criterion.margin': 0.1}
    """
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        elif key == "_target_":
            yield prefix.removesuffix("."), str(value).rsplit(".", 1)[-1]
        elif key != "name" and value is not None:
            yield f"{prefix}{key}", value if isinstance(value, (bool, int, float, str)) else str(value)
