"""From the words of a command line to a checked, typed configuration of one training."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from benchmarks.config.schema import RunConfig, RunOptions
from benchmarks.config.targets import check_targets
from benchmarks.errors import UserError, unknown

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
GROUPS = ("data", "loss", "method", "trunk", "protocol")
RECIPE = "recipe"  # a group that chooses among the others and sets some of their keys; not part of the identity


def options_of(group: str) -> list[str]:
    """Names of the configs in a group, sorted; those in a sub-folder with its name before theirs."""
    folder = CONFIGS / group
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


def parse(overrides: Sequence[str]) -> list[Override]:
    """Overrides in Hydra's grammar, ``key=value`` only.

    Raises:
        UserError: for anything else, such as ``+key=value``, ``~key`` or a sweep.
    """
    parsed = []
    for text in overrides:
        try:
            (override,) = OverridesParser.create().parse_overrides([text])
        except HydraException as error:
            reason = str(error).splitlines()[-2]
            raise UserError(f"cannot read {text!r} as key=value: {reason}; quote odd values: key='value'") from error
        if override.type is None or override.type.name != "CHANGE" or override.is_sweep_override():
            raise UserError(f"cannot use {text!r}: expected key=value with a known key and one value")
        parsed.append(override)
    return parsed


def untrusted(overrides: Sequence[str]) -> list[str]:
    """The overrides of a file that somebody else may have written, less ``allow``, which only the user may set."""
    return [
        text for text, override in zip(overrides, parse(overrides), strict=True) if override.key_or_group != "allow"
    ]


def split_own(overrides: Sequence[str], own: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """The values of a list's own keys, and the overrides that are left for each training.

    Raises:
        UserError: as :func:`parse` does, and for a key that neither the list nor a training has at its top.
    """
    values, rest = {}, []
    known = {*own, *GROUPS, RECIPE, *(key.name for schema in (RunConfig, RunOptions) for key in fields(schema))}
    for text, override in zip(overrides, parse(overrides), strict=True):
        key = override.key_or_group
        if "." not in key and key not in known:
            raise UserError(unknown("key", key, known))
        if key in own:
            values[key] = override.value()
        else:
            rest.append(text)
    return values, rest


def compose(overrides: Sequence[str]) -> tuple[RunConfig, RunOptions]:
    """The configuration of one training.

    Args:
        overrides: such as ``["loss=triplet", "method=ee", "seed=3", "protocol.epochs=5"]``.

    Raises:
        UserError: for an unknown group option or key (the nearest known one is named), for a value of a wrong type, and
            for a ``_target_`` outside the allowed packages.
    """
    values = {override.key_or_group: override.value() for override in parse(overrides)}
    chosen = [(group, values[group]) for group in (*GROUPS, RECIPE) if group in values]
    for group, option in chosen:
        if option not in options_of(group):
            raise UserError(unknown(group, str(option), options_of(group)))
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        if len(values) > len(chosen):
            known = _known_keys(tuple(f"{group}={option}" for group, option in chosen))
            for key in values:
                if key not in known and not _in_given_node(key, values, known):
                    raise UserError(unknown("key", key, known))
        try:
            composed = hydra_compose("run", [_known(text) for text in overrides])
            if any("_target_" in text for text in overrides):
                written = hydra_compose("run", [f"{group}={option}" for group, option in chosen])
                _drop_replaced(composed, written, values)
            config, options = _typed(RunConfig, composed), _typed(RunOptions, composed)
        except OmegaConfBaseException as error:
            raise UserError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    check_targets(asdict(config), options.allow)
    return config, options


@lru_cache  # a study composes many configurations of a few groups
def _known_keys(chosen: tuple[str, ...]) -> frozenset[str]:
    return frozenset([*_keys(hydra_compose("run", list(chosen))), *_fields(RunConfig), RECIPE])


def _in_given_node(key: str, values: Mapping[str, Any], known: Collection[str]) -> bool:
    """Whether a key belongs to a node whose class is given on the command line; the class then checks its arguments."""
    node, _, name = key.rpartition(".")
    return node in known and f"{node}._target_" in values and name.isidentifier()


def _drop_replaced(composed: DictConfig, written: DictConfig, values: Mapping[str, Any]) -> None:
    """Take the written arguments out of each node that the command line gives another ``_target_``.

    Args:
        composed: written values and overrides, merged; changed in place.
        written: what the files alone say.
        values: the overrides.
    """
    for key, value in values.items():
        node, _, name = key.rpartition(".")
        if isinstance(value, dict) and "_target_" in value:
            node, target, given = key, value["_target_"], set(value)
        elif name == "_target_":
            target, given = value, set()
        else:
            continue
        old = OmegaConf.select(written, node)
        if isinstance(old, DictConfig) and old.get("_target_") not in (None, target):
            given |= {other.removeprefix(f"{node}.").split(".")[0] for other in values if other.startswith(f"{node}.")}
            with open_dict(composed):
                for argument in set(old) - given - {"_target_"}:
                    del OmegaConf.select(composed, node)[argument]


def _known(override: str) -> str:
    """For Hydra, which only knows the keys that are written in a file, a key whose default the schema has."""
    return override if override.split("=", 1)[0] in (*GROUPS, RECIPE) else f"++{override}"


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key, value in node.items_ex(resolve=False):
        yield f"{prefix}{key!s}"
        if isinstance(value, DictConfig):
            yield from _keys(value, f"{prefix}{key!s}.")


def _fields(schema: type, prefix: str = "") -> Iterator[str]:
    for known in fields(schema):
        yield f"{prefix}{known.name}"
        for part in (known.type, *get_args(known.type)):
            if isinstance(part, type) and is_dataclass(part):
                yield from _fields(part, f"{prefix}{known.name}.")


def _typed(schema: type, composed: DictConfig) -> Any:
    part = OmegaConf.masked_copy(composed, [field.name for field in fields(schema)])
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), part))
