"""From the words of a command line to a checked, typed configuration of one training."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .errors import Refusal
from .nearest import unknown

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
GROUPS = ("data", "loss", "method", "trunk", "protocol")


@dataclass
class LossConfig:
    name: str
    criterion: dict[str, Any]  # _target_ and arguments of a PML loss
    miner: dict[str, Any] | None
    images_per_class: int  # in a batch; MLRC: 4 for embedding losses, 1 for classification losses
    proxy_lr: float | None  # of the loss's own weights; null when it has none


@dataclass
class MethodConfig:
    """What a method puts in place of, or around, the parts of the bare loss's training; all by _target_."""

    name: str
    wrapper: dict[str, Any] | None  # gets the loss first
    outer_wrapper: dict[str, Any] | None = None  # gets the wrapped loss first
    distances: dict[str, Any] | None = None  # `similarity` and `distance`: the one like the loss's own replaces it
    head: dict[str, Any] | None = None  # in place of the linear one; told in_features and embedding_size
    trainer: dict[str, Any] | None = None  # in place of the plain one
    hook: dict[str, Any] | None = None  # at the end of each epoch; told num_epochs and what comes then


@dataclass
class TrunkConfig:
    name: str
    network: dict[str, Any]  # _target_ and arguments; told in_channels


@dataclass
class ProtocolConfig:
    name: str
    version: int
    batch_size: int
    iterations_per_epoch: int
    epochs: int
    evaluate_every: int  # epochs
    patience: int | None  # epochs without a better validation MAP@R before the run stops
    embedding_size: int
    max_shift: float  # training images move by up to this part of their side, each way
    optimizer: dict[str, Any]  # _target_ and arguments, for trunk, embedder and (with proxy_lr) the loss's weights

    def __post_init__(self) -> None:
        for key in ("batch_size", "iterations_per_epoch", "epochs", "evaluate_every", "embedding_size"):
            if getattr(self, key) < 1:
                raise Refusal(f"protocol.{key} must be at least 1, but got {getattr(self, key)}")
        if self.patience is not None and self.patience < 0:
            raise Refusal(f"protocol.patience must be null or at least 0, but got {self.patience}")
        if not 0 <= self.max_shift < 1:
            raise Refusal(f"protocol.max_shift must be at least 0 and below 1, but got {self.max_shift}")


@dataclass
class RunConfig:
    """All that decides a training's numbers: its identity."""

    data: dict[str, Any]
    loss: LossConfig
    method: MethodConfig
    trunk: TrunkConfig
    protocol: ProtocolConfig
    fold: int
    seed: int

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise Refusal(f"seed must be at least 0, but got {self.seed}")
        if self.loss.images_per_class < 1 or self.protocol.batch_size % self.loss.images_per_class:
            raise Refusal(
                f"loss.images_per_class must divide protocol.batch_size={self.protocol.batch_size}, "
                f"but got {self.loss.images_per_class}"
            )

    def identity(self) -> dict[str, Any]:
        """Plain dicts, lists and scalars."""
        return asdict(self)


@dataclass
class RunOptions:
    """What a training is not known by: where it writes, what it shows, what it computes on."""

    runs: str
    quiet: bool
    threads: int
    device: str

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise Refusal(f"threads must be at least 1, but got {self.threads}")


def options_of(group: str) -> list[str]:
    """Names of the configs in a group, sorted."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def parse(overrides: Sequence[str]) -> list[Override]:
    """Overrides in Hydra's grammar, ``key=value`` only.

    Raises:
        Refusal: for anything else, such as ``+key=value``, ``~key`` or a sweep.
    """
    parsed = []
    for text in overrides:
        try:
            (override,) = OverridesParser.create().parse_overrides([text])
        except HydraException as error:
            reason = str(error).splitlines()[-2]
            raise Refusal(f"cannot read {text!r} as key=value: {reason}; quote odd values: key='value'") from error
        if override.type is None or override.type.name != "CHANGE" or override.is_sweep_override():
            raise Refusal(f"cannot use {text!r}: expected key=value with a known key and one value")
        parsed.append(override)
    return parsed


def compose(overrides: Sequence[str]) -> tuple[RunConfig, RunOptions]:
    """The configuration of one training.

    Args:
        overrides: such as ``["loss=triplet", "method=ee", "seed=3", "protocol.epochs=5"]``.

    Raises:
        Refusal: for an unknown group option or key (the nearest known one is named) and for a value of a wrong type.
    """
    values = {override.key_or_group: override.value() for override in parse(overrides)}
    for group in GROUPS:
        if group in values and values[group] not in options_of(group):
            raise Refusal(unknown(group, str(values[group]), options_of(group)))
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        known = set(_keys(hydra_compose("run", [f"{group}={values[group]}" for group in GROUPS if group in values])))
        for key in values:
            if key not in known:
                raise Refusal(unknown("key", key, known))
        try:
            composed = hydra_compose("run", list(overrides))
            return _typed(RunConfig, composed), _typed(RunOptions, composed)
        except OmegaConfBaseException as error:
            raise Refusal(f"{error.full_key}: {str(error).splitlines()[0]}") from error


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key, value in node.items_ex(resolve=False):
        yield f"{prefix}{key!s}"
        if isinstance(value, DictConfig):
            yield from _keys(value, f"{prefix}{key!s}.")


def _typed(schema: type, composed: DictConfig) -> Any:
    part = OmegaConf.masked_copy(composed, [field.name for field in fields(schema)])
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), part))
