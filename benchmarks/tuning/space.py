"""Search spaces: parameters by their config keys, with ranges declared in configs/space."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from ..config.compose import RunConfig, config_file, options_of
from ..errors import UserError, unknown

Space = dict[str, BaseDistribution]
RANGE: dict[str, Any] = {"low": None, "high": None, "log": False, "integer": False}  # keys of a range, with defaults
EDGE = 0.05  # a value is on the edge within this fraction of the range from an end, in the searched scale


def read_space(group: str, name: str) -> Space:
    """The declared space of a loss or a method: ``configs/space/GROUP/NAME.yaml``.

    A parameter is a range, ``{low: 0.01, high: 100}`` with ``log: true`` or ``integer: true`` if wanted, or a list,
    ``{choices: [adjacent, within_class]}``.

    Args:
        group: ``loss`` or ``method``.

    Raises:
        UserError: there is no such file, or it declares no valid space.
    """
    if name not in options_of(f"space/{group}"):
        asked = unknown(f"search space {group}", name, options_of(f"space/{group}"))
        raise UserError(f"{asked}; declare it in configs/space/{group}/{name}.yaml")
    return parse_space(group, config_file(f"space/{group}", name))


def parse_space(group: str, path: Path) -> Space:
    """The space that a file declares, each of whose keys begins with the group's name."""
    declared = yaml.safe_load(path.read_text())
    if not isinstance(declared, dict) or not declared:
        raise UserError(f"{path}: expected `KEY: {{low: .., high: ..}}` lines, but got {declared!r}")
    space = {}
    for key, words in declared.items():
        if not str(key).startswith(f"{group}."):
            raise UserError(f"{path}: the space of a {group} has keys that begin with '{group}.', but got {key!r}")
        try:
            space[key] = _distribution(words)
        except (TypeError, ValueError) as error:
            raise UserError(f"{path}: {key}: {error}") from error
    return space


def _distribution(words: Any) -> BaseDistribution:
    if not isinstance(words, dict):
        raise ValueError(f"expected {{low: .., high: ..}} or {{choices: [..]}}, but got {words!r}")
    if "choices" in words:
        if len(words) > 1 or not isinstance(words["choices"], list) or len(words["choices"]) < 2:
            raise ValueError(f"expected {{choices: [..]}} with two or more, but got {words!r}")
        return CategoricalDistribution(words["choices"])
    for word in words:
        if word not in RANGE:
            raise ValueError(unknown("word", str(word), (*RANGE, "choices")))
    low, high, log, integer = {**RANGE, **words}.values()
    kinds = (int,) if integer else (int, float)
    if type(low) not in kinds or type(high) not in kinds or not low < high:
        raise ValueError(f"expected {'integers' if integer else 'numbers'} low < high, but got low={low} high={high}")
    return IntDistribution(low, high, log=log) if integer else FloatDistribution(low, high, log=log)


def declared_values(space: Space, config: RunConfig) -> dict[str, Any]:
    """The value that a configuration gives to each parameter of the space.

    Raises:
        UserError: if it has no such key (the nearest one is named), or its value lies outside the range.
    """
    known = dict(_leaves(dataclasses.asdict(config)))
    values = {}
    for key, distribution in space.items():
        if key not in known:
            raise UserError(unknown("key of a search space", key, known))
        value = known[key]
        if not contains(distribution, value):
            raise UserError(f"{key}={value} lies outside its search space {describe(distribution)}: widen the space")
        values[key] = float(value) if isinstance(distribution, FloatDistribution) else value
    return values


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value has the right type and lies in the range; strings and booleans are no numbers."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    numbers = (int,) if isinstance(distribution, IntDistribution) else (int, float)
    return type(value) in numbers and distribution.low <= value <= distribution.high


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Any:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def ends(distribution: BaseDistribution) -> tuple[Any, Any]:
    """The lowest and the highest value, or the first and the last choice."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0], distribution.choices[-1]
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    return distribution.low, distribution.high


def describe(distribution: BaseDistribution) -> dict[str, Any]:
    """The words that declare a distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return {"choices": list(distribution.choices)}
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    words: dict[str, Any] = {"low": distribution.low, "high": distribution.high, "log": distribution.log}
    return {**words, "integer": True} if isinstance(distribution, IntDistribution) else words


def on_edge(space: Space, params: Mapping[str, Any]) -> list[str]:
    """Parameters within :data:`EDGE` of an end of their range, beyond which the optimum may lie.

    Example:
        >>> space = {"loss.proxy_lr": FloatDistribution(1e-6, 1, log=True), "loss.margin": FloatDistribution(0, 1)}
        >>> on_edge(space, {"loss.proxy_lr": 1.5e-6, "loss.margin": 0.94})
        ['loss.proxy_lr']
    """
    found = []
    for key, value in params.items():
        distribution = space[key]
        if isinstance(distribution, CategoricalDistribution):
            continue
        assert isinstance(distribution, (FloatDistribution, IntDistribution))
        scale = math.log if distribution.log else float
        low, high = scale(distribution.low), scale(distribution.high)
        if not EDGE < (scale(value) - low) / (high - low) < 1 - EDGE:
            found.append(key)
    return found
