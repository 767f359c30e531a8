"""Names of losses, methods, trunks and protocols: those of the files that they come from."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from ..errors import UserError

PARTS = {
    "loss": ("criterion", "miner"),
    "method": ("wrapper", "outer_wrapper", "distances", "head", "trainer", "hook"),
    "trunk": ("network",),
    "protocol": (),
    "mix": (),
}
OWN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def name_of(group: str, chosen: Mapping[str, Any], final: Mapping[str, Any], options: Collection[str]) -> str:
    """The name that a part of a training is reported by: the option's, unless its classes were replaced.

    With other classes it is the name that the user gives, or else the option's with those classes.

    Args:
        group: of the configuration, such as ``loss``.
        chosen: the option's own values.
        final: the values after all overrides.
        options: names of all options of the group.

    Raises:
        UserError: the name was overridden though the classes are the option's, or it is another option's name.

    Example:
        >>> plain = {"name": "triplet", "criterion": {"_target_": "losses.Triplet", "margin": 0.1}, "miner": None}
        >>> name_of("loss", plain, plain | {"criterion": {"_target_": "losses.Triplet", "margin": 0.5}}, ["triplet"])
        'triplet'
        >>> name_of("loss", plain, plain | {"criterion": {"_target_": "mine.Own"}}, ["triplet"])
        'triplet-Own'
        >>> name_of("loss", plain, plain | {"name": "contrastive"}, ["contrastive", "triplet"])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        benchmarks.errors.UserError: loss.name=contrastive: the name is that of the chosen option, loss=triplet...
    """
    old, new = chosen["name"], final["name"]
    replaced = [part for part in PARTS[group] if _classes(chosen.get(part)) != _classes(final.get(part))]
    if not replaced and old != new:
        raise UserError(
            f"{group}.name={new}: the name is that of the chosen option, {group}={old}: leave {group}.name out"
        )
    if old == new:
        return "-".join([str(old), *(_short(part, final.get(part)) for part in replaced)])
    if new in options or not OWN_NAME.fullmatch(str(new)):
        raise UserError(
            f"{group}.name={new} must be a new name of letters, digits and underscores, unlike {', '.join(options)}"
        )
    return str(new)


def _classes(node: Any) -> Any:
    """The class of a part, or of each of its parts; None for no part."""
    if not isinstance(node, Mapping):
        return None
    if "_target_" in node:
        return node["_target_"]
    return {key: found for key, value in node.items() if (found := _classes(value)) is not None} or None


def _short(part: str, node: Any) -> str:
    target = _classes(node)
    if target is None:
        return f"no_{part}"
    return target.rpartition(".")[2] if isinstance(target, str) else part
