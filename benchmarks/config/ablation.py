"""A method beside its controls, as a suite: what ``ablate`` trains."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ..errors import UserError
from .compose import check_option, parse
from .lists import Comparison, SuiteConfig, list_kinds, read_suite
from .parts import MethodConfig

BASELINE = "none"
SUITE = "quickstart"  # whose data, protocol, folds and seeds are used unless another is chosen
OWN = ("suite", "losses")


class Ablation(NamedTuple):
    """What ``ablate`` trains."""

    suite: SuiteConfig  # of the baseline, the method and its controls under each loss
    overrides: list[str]  # of each training
    controls: dict[str, str]  # what each control lacks of the method, in words and as keys of its configuration


def read_ablation(method: str, overrides: Sequence[str]) -> Ablation:
    """The baseline, a method and its controls, under each loss that a suite compares the method with.

    Args:
        method: an option of the group.
        overrides: ``suite=NAME``; ``losses=[...]`` instead of the suite's; keys of a suite; and of each training.

    Raises:
        UserError: an unknown name or key, a value of a wrong type, a method without controls, or a suite that compares
            the method with no loss.
    """
    check_option("method", method)
    keys = [override.key_or_group for override in parse(overrides)]
    own = {override.key_or_group: override.value() for override in parse(overrides) if override.key_or_group in OWN}
    given = [text for text, key in zip(overrides, keys, strict=True) if key not in OWN]
    name = str(own.get("suite", SUITE))
    suite, rest = read_suite(name, given)
    if "runs" not in keys:
        suite = replace(suite, runs=f"runs/ablate_{method}")
    losses = own.get("losses", [each.loss for each in suite.comparisons if method in each.methods])
    if not isinstance(losses, list) or "losses" in own and not losses:
        raise UserError(f"losses must be a list such as [triplet], but got {losses!r}")
    if not losses:
        raise UserError(f"suite={name} compares {method} with no loss: choose another suite, or name losses=[triplet]")

    def under(methods: list[str]) -> SuiteConfig:
        return replace(suite, comparisons=[Comparison(str(loss), methods) for loss in losses])

    of_method = _configuration(under([method]), rest)
    if not of_method.controls:
        raise UserError(
            f"method={method} names no control: write `control: NAME` into its configuration, the name of a method "
            "that lacks the part in question"
        )
    controls = {}
    for control, lacks in of_method.controls.items():
        keys_of_control = ", ".join(differing_keys(of_method, _configuration(under([control]), rest)))
        controls[control] = f"{lacks} ({keys_of_control})" if lacks else keys_of_control
    return Ablation(under([BASELINE, method, *controls]), rest, controls)


def _configuration(suite: SuiteConfig, overrides: Sequence[str]) -> MethodConfig:
    """Of the first method of a suite."""
    config, _ = next(iter(list_kinds(suite, overrides).values()))[0]
    return config.method


def differing_keys(method: MethodConfig, control: MethodConfig) -> Iterator[str]:
    """Each key of a control's configuration that differs from the method's, with the control's value.

    Example:
        >>> plain = MethodConfig("a", {"_target_": "my.A", "copies": 3})
        >>> list(differing_keys(plain, MethodConfig("b", {"_target_": "my.A", "copies": 1})))
        ['wrapper.copies=1']
        >>> list(differing_keys(plain, MethodConfig("none", None)))
        ['wrapper=null']
    """
    return _differing({**method.identity(), "name": ""}, {**control.identity(), "name": ""}, "")


def _differing(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key in {**old, **new}:
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping) and _target(before) == _target(after):
            yield from _differing(before, after, f"{prefix}{key}.")
        else:
            value = _target(after) if isinstance(after, Mapping) else after
            yield f"{prefix}{key}={json.dumps(value) if value is None or isinstance(value, bool) else value}"


def _target(node: Mapping[str, Any]) -> str | None:
    """The last name of the class that a node describes; None if it describes none."""
    return str(node["_target_"]).rpartition(".")[2] if "_target_" in node else None
