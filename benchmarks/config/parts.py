"""The typed shape of loss, method and trunk in a configuration, and what their values must be."""

from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import UserError

RAW = ("raw", "raw_standardized")  # losses that train nothing: the trunk's features are the embeddings


@dataclass
class LossConfig:
    name: str
    criterion: dict[str, Any]  # _target_ and arguments of a PML loss
    miner: dict[str, Any] | None
    images_per_class: int | None  # in a batch; MLRC: 4 for embedding losses, 1 for others; null: images at random
    proxy_lr: float | None  # of the loss's own weights; null if it has none
    proxy_weight_decay: float | None = None  # of the loss's own weights; null: the optimizer's

    @property
    def is_raw(self) -> bool:
        """Whether nothing is trained and the trunk's features are scored as they are."""
        return self.name in RAW


@dataclass
class MethodConfig:
    """What a method replaces in, or wraps around, the parts of the baseline's training; each names its _target_."""

    name: str
    wrapper: dict[str, Any] | None  # its first argument is the loss
    outer_wrapper: dict[str, Any] | None = None  # its first argument is the wrapped loss
    distances: dict[str, Any] | None = None  # `similarity` or `distance`, whichever kind the loss has, replaces its own
    head: dict[str, Any] | None = None  # replaces the linear layer; gets in_features and embedding_size
    trainer: dict[str, Any] | None = None  # replaces the plain trainer
    hook: dict[str, Any] | None = None  # called after each epoch; gets num_epochs and the hook to call next (then)
    control: dict[str, Any] | list[str] | str | None = None  # methods that it is compared with, see `controls`

    def __post_init__(self) -> None:
        """Drop settings of parts that the method lacks, such as a recipe's when another method was chosen."""
        if self.name in self.controls:
            raise UserError(f"method.control of {self.name} must name other methods, but got {self.control!r}")
        for key in ("wrapper", "outer_wrapper", "head", "trainer", "hook"):
            node = getattr(self, key)
            if node is not None and "_target_" not in node:
                setattr(self, key, None)

    @property
    def controls(self) -> dict[str, str]:
        """What each control lacks of the method, by the control's name; an empty text where `control` does not say it.

        A control is a method that keeps all of this one but the part to which its gain is attributed.
        """
        if isinstance(self.control, dict):
            return {name: str(lacks or "") for name, lacks in self.control.items()}
        return dict.fromkeys([self.control] if isinstance(self.control, str) else self.control or [], "")

    def identity(self) -> dict[str, Any]:
        """What decides the numbers of a training: all but the names of the controls."""
        return {key: value for key, value in asdict(self).items() if key != "control"}


@dataclass
class Normalization:
    """The input that a trunk's weights expect: ``(pixel / scale - mean) / std`` with pixels from 0 to 255."""

    mean: list[float]  # per channel, in the order after `bgr`; a grey image is repeated to as many channels
    std: list[float]
    scale: float = 255.0
    bgr: bool = False  # whether the channels are in the order blue, green, red

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise UserError(
                "trunk.normalization needs a mean and a std for 1 or for 3 channels, "
                f"but got {len(self.mean)} and {len(self.std)}"
            )
        if min(self.std) <= 0 or self.scale <= 0:
            raise UserError(
                f"trunk.normalization: std and scale must be positive, but got std={self.std} and scale={self.scale}"
            )


@dataclass
class TrunkConfig:
    name: str
    network: dict[str, Any]  # _target_ and arguments; gets in_channels if it accepts them
    normalization: Normalization | None = None  # null: pixel / 127.5 - 1, in the channels that the images have
    freeze: Any = field(default_factory=list)  # names of layers whose weights are not trained, or "all"
    unfreeze: list[str] = field(default_factory=list)  # names of layers inside them that are trained

    def __post_init__(self) -> None:
        names = self.freeze if isinstance(self.freeze, list) else [self.freeze]
        if not all(isinstance(name, str) for name in names) or self.freeze not in ("all", names):
            raise UserError(
                f"trunk.freeze must be all or a list of layers such as [conv1,layer1], but got {self.freeze!r}"
            )

    @property
    def channels(self) -> int | None:
        """Input channels of the network; None for those of the images."""
        return None if self.normalization is None else len(self.normalization.mean)
