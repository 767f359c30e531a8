"""From the overrides of a command line to a checked, typed configuration of one training."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..errors import UserError, unknown
from . import CONFIGS_VARIABLE
from .loss_defaults import fill_in
from .names import PARTS, name_of
from .schema import RunConfig, RunOptions
from .targets import check_targets
from .typed import typed

PACKAGE = Path(__file__).resolve().parents[1]
CONFIGS = PACKAGE / "configs"  # inside an installed copy, beside the package in a clone
CONFIGS = CONFIGS if CONFIGS.is_dir() else PACKAGE.parent / "configs"
GROUPS = ("data", "loss", "method", "trunk", "protocol")
SHORTHANDS = ("embedder", "recipe")  # groups that set keys of the others, and are no part of the identity themselves


@dataclass(frozen=True, eq=False)
class Root:
    """A file under configs/ that lists the groups of a kind of training."""

    file: str  # without its ending
    groups: Mapping[str, str]  # key on the command line -> directory under configs/, with Hydra's @KEY if it differs
    shorthands: Mapping[str, str]
    schema: type  # of the configuration

    def directory(self, key: str) -> str:
        """Of the options of a group."""
        return {**self.groups, **self.shorthands}[key].partition("@")[0]


RUN = Root("run", {key: key for key in GROUPS}, {key: key for key in SHORTHANDS}, RunConfig)


def config_directories() -> list[Path]:
    """The project's configs, then the user's: ``configs`` in the working directory, and what PML_AUG_CONFIGS lists.

    The variable separates its directories as PATH does.

    Raises:
        UserError: one of them does not exist.
    """
    own = [Path(name).expanduser().resolve() for name in os.environ.get(CONFIGS_VARIABLE, "").split(os.pathsep) if name]
    for directory in own:
        if not directory.is_dir():
            raise UserError(
                f"--config-dir, {CONFIGS_VARIABLE}: {directory} is not a directory; give ones laid out like configs/"
            )
    here = Path("configs").resolve()
    return list(dict.fromkeys([CONFIGS, *([here] if here.is_dir() else []), *own]))


def options_of(group: str) -> list[str]:
    """Names of the configs in a group, sorted; those in a sub-folder with its name before theirs."""
    return sorted(_files_of(group))


def config_file(group: str, name: str) -> Path:
    """The file of an option that :func:`options_of` lists."""
    return _files_of(group)[name]


def _files_of(group: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for directory in config_directories():
        for path in (directory / group).rglob("*.yaml"):
            name = path.relative_to(directory / group).with_suffix("").as_posix()
            if found.setdefault(name, path).read_bytes() != path.read_bytes():
                raise UserError(f"{path} has the name of {found[name]}: rename it, so that {group}={name} is one thing")
    return found


def check_option(group: str, option: object) -> None:
    """Raises UserError, with the nearest known name, if a group has no such option."""
    _check_option(group, group, option)


def _check_option(key: str, directory: str, option: object) -> None:
    if option not in options_of(directory):
        raise UserError(unknown(key, str(option), options_of(directory)))


def parse(overrides: Sequence[str]) -> list[Override]:
    """Overrides in Hydra's grammar, ``key=value`` only.

    Raises:
        UserError: for anything else, such as ``+key=value``, ``~key``, ``group@package=value``, a sweep or ``${...}``.
    """
    parsed = []
    for text in overrides:
        try:
            (override,) = OverridesParser.create().parse_overrides([text])
        except (HydraException, RecursionError) as error:
            key, _, value = text.partition("=")
            example = f"\"{key}='{value[:200]}'\", with both kinds of quotes" if value else "key=value"
            raise UserError(f"cannot read {shown(text)}: write {example}") from error
        if override.type is None or override.type.name != "CHANGE" or override.is_sweep_override() or override.package:
            raise UserError(f"cannot use {shown(text)}: expected key=value with a known key and one value")
        if "${" in text:
            raise UserError(f"cannot use {shown(text)}: write the value itself, references are not followed")
        parsed.append(override)
    return parsed


def shown(text: str) -> str:
    """A quoted text, shortened to what fits into a sentence."""
    return repr(text if len(text) <= 200 else f"{text[:200]}...")


def untrusted(overrides: Sequence[str]) -> list[str]:
    """The overrides of a file that somebody else may have written, less ``allow``, which only the user may set."""
    parsed = zip(overrides, parse(overrides), strict=True)
    return [text for text, override in parsed if override.key_or_group != "allow"]


def split_own(overrides: Sequence[str], own: Collection[str], root: Root = RUN) -> tuple[dict[str, Any], list[str]]:
    """The values of a list's own keys, and the overrides that are left for each training.

    Raises:
        UserError: as :func:`parse` does, and for a key that neither the list nor a training has at its top.
    """
    values, rest = {}, []
    keys = {key.name for schema in (root.schema, RunOptions) for key in fields(schema)}
    known = {*own, *root.groups, *root.shorthands, *keys}
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
    """The configuration of one training; of a key or group given twice, the later value counts.

    Args:
        overrides: such as ``["loss=triplet", "method=ee", "seed=3", "protocol.epochs=5"]``.

    Raises:
        UserError: for an unknown group option or key (the nearest known one is named), for a value of a wrong type, for
            a ``_target_`` outside the allowed packages, and for a name that belongs to something else.
    """
    found, options = composed_values(RUN, overrides)
    config = typed(RunConfig, found)
    check_targets(asdict(config), options.allow)
    for control in config.method.controls:
        check_option("method", control)
    return config, options


def composed_values(root: Root, overrides: Sequence[str]) -> tuple[dict[str, Any], RunOptions]:
    """The values of one training's configuration, not yet typed nor checked for what they build, and its options.

    Raises:
        UserError: as :func:`compose`, but for values of a wrong type.
    """
    chosen: dict[str, str] = {}
    settings: list[tuple[str, Any]] = []
    for override in parse(overrides):
        key, value = override.key_or_group, override.value()
        if key in root.shorthands and value is None:
            chosen.pop(key, None)
        elif key in (*root.groups, *root.shorthands):
            _check_option(key, root.directory(key), value)
            chosen[key] = str(value)
        else:
            settings.append((key, value))
    if "data" in chosen and _get(_composed(root, (("data", chosen["data"]),)), "data.kind") == "features":
        # no pixels: other trunks and protocols have nothing to work on
        chosen = {"trunk": "given", "protocol": "frozen"} | chosen
    start = _composed(root, tuple(chosen.items()))
    known = frozenset([*_keys(start), *_fields(root.schema), *_fields(RunOptions)])
    composed = deepcopy(start)
    targets = {node: target for node, target in map(_given_target, settings) if target is not None}
    for node, target in targets.items():
        if _get(start, f"{node}._target_") not in ({}, target):  # another class: the old one's arguments are not its
            _replace(composed, node, {})
    for key, value in settings:
        node, _, argument = key.rpartition(".")
        if key not in known and not (node in targets and argument.isidentifier()):  # a given class checks its arguments
            raise UserError(unknown("key", key, known))
        _replace(composed, key, _merged(_get(composed, key), value))
    for group in root.groups:
        if group in PARTS:
            known_names = options_of(root.directory(group))
            composed[group]["name"] = name_of(group, start[group], composed[group], known_names)
    if root is RUN:
        composed["loss"] = fill_in(composed["loss"])
    return _part(composed, root.schema), typed(RunOptions, _part(composed, RunOptions))


def _part(composed: Mapping[str, Any], schema: type) -> dict[str, Any]:
    """The values that are fields of a schema."""
    return {key.name: composed[key.name] for key in fields(schema) if key.name in composed}


def override_keys() -> list[str]:
    """Dotted keys of a configuration with the default options, those of its own fields first."""
    return list(dict.fromkeys([*_fields(RunConfig), *_fields(RunOptions), *sorted(_keys(_composed(RUN, ())))]))


def _composed(root: Root, chosen: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """The files of the chosen options, merged; not to be changed."""
    return _composed_from(root, chosen, tuple(config_directories()[1:]))


@lru_cache  # a study composes many configurations of a few groups
def _composed_from(root: Root, chosen: tuple[tuple[str, str], ...], own: tuple[Path, ...]) -> dict[str, Any]:
    further = ",".join(f"'file://{directory}'" for directory in own)
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            groups = {**root.groups, **root.shorthands}
            options = [f"{groups[key]}={option}" for key, option in chosen]
            composed = hydra_compose(root.file, [*options, f"hydra.searchpath=[{further}]"] if further else options)
        return OmegaConf.to_container(composed, resolve=True)  # type: ignore[return-value]
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise UserError(f"the files under {CONFIGS} cannot be combined: {' '.join(str(error).split())}") from error


def _given_target(setting: tuple[str, Any]) -> tuple[str, Any]:
    """The node that an override gives a class, and that class; None if it gives none."""
    key, value = setting
    if key.endswith("._target_"):
        return key.removesuffix("._target_"), value
    return key, value.get("_target_") if isinstance(value, dict) else None


def _get(config: Any, key: str) -> Any:
    """The value at a dotted key; an empty mapping where there is none."""
    for part in key.split("."):
        config = config.get(part) if isinstance(config, dict) else None
    return {} if config is None else config


def _replace(config: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        if not isinstance(config.get(parent), dict):
            config[parent] = {}
        config = config[parent]
    config[last] = value


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: _merged(old.get(key), value) for key, value in new.items()}
    return new


def _keys(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{key}.")


def _fields(schema: type, prefix: str = "") -> Iterator[str]:
    for known in fields(schema):
        yield f"{prefix}{known.name}"
        for part in (known.type, *get_args(known.type)):
            if isinstance(part, type) and is_dataclass(part):
                yield from _fields(part, f"{prefix}{known.name}.")
