"""The typed shape of a training's configuration, and what its values must be."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.config.data import DataConfig
from benchmarks.errors import UserError

TEST_SCORING = ("never", "once", "every")
PRECISIONS = ("float32", "bfloat16")
NEIGHBORS = ("exact", "faiss")
STEPS = ("epoch", "iteration")


@dataclass
class LossConfig:
    name: str
    criterion: dict[str, Any]  # _target_ and arguments of a PML loss
    miner: dict[str, Any] | None
    images_per_class: int | None  # in a batch; MLRC: 4 for embedding losses, 1 for others; null: images at random
    proxy_lr: float | None  # of the loss's own weights; null when it has none
    proxy_weight_decay: float | None = None  # of the loss's own weights; null: the optimizer's


@dataclass
class MethodConfig:
    """What a method puts in place of, or around, the parts of the baseline's training; all by _target_."""

    name: str
    wrapper: dict[str, Any] | None  # gets the loss first
    outer_wrapper: dict[str, Any] | None = None  # gets the wrapped loss first
    distances: dict[str, Any] | None = None  # `similarity` and `distance`: the one like the loss's own replaces it
    head: dict[str, Any] | None = None  # in place of the linear one; told in_features and embedding_size
    trainer: dict[str, Any] | None = None  # in place of the plain one
    hook: dict[str, Any] | None = None  # at the end of each epoch; told num_epochs and what comes then

    def __post_init__(self) -> None:
        """Drop what a recipe says of a part that its method has and the chosen one has not."""
        for key in ("wrapper", "outer_wrapper", "head", "trainer", "hook"):
            node = getattr(self, key)
            if node is not None and "_target_" not in node:
                setattr(self, key, None)


@dataclass
class Normalization:
    """What a trunk's weights expect: ``(pixel / scale - mean) / std``, a pixel going from 0 to 255."""

    mean: list[float]  # one a channel, in the order after `bgr`; a gray image is repeated to as many channels
    std: list[float]
    scale: float = 255.0
    bgr: bool = False  # channels in the order blue, green, red

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise UserError(
                "trunk.normalization needs a mean and a std for 1 or for 3 channels, "
                f"but got {len(self.mean)} and {len(self.std)}"
            )
        if min(self.std) <= 0 or self.scale <= 0:
            raise UserError(f"trunk.normalization divides by std={self.std} and scale={self.scale}: above 0, please")


@dataclass
class TrunkConfig:
    name: str
    network: dict[str, Any]  # _target_ and arguments; told in_channels if it takes them
    normalization: Normalization | None = None  # null: pixel / 127.5 - 1, in the channels that the images have
    freeze: Any = field(default_factory=list)  # names of layers whose weights stay as they are, or "all"
    unfreeze: list[str] = field(default_factory=list)  # names of layers that train all the same

    def __post_init__(self) -> None:
        names = self.freeze if isinstance(self.freeze, list) else [self.freeze]
        if not all(isinstance(name, str) for name in names) or self.freeze not in ("all", names):
            raise UserError(
                f"trunk.freeze must be all or a list of layers such as [conv1,layer1], but got {self.freeze!r}"
            )

    @property
    def channels(self) -> int | None:
        """That the network always gets; None when it gets what the images have."""
        return None if self.normalization is None else len(self.normalization.mean)


@dataclass
class EmbedderConfig:
    """The linear layer from the trunk's features to embeddings."""

    init: dict[str, Any] | None = None  # _target_ and arguments, for the weight; null: PyTorch's own
    bias: str | None = "default"  # how it starts: default (PyTorch's own) or zero; null: without
    layer_norm: bool = False  # standardise each image's features first

    def __post_init__(self) -> None:
        if self.bias not in ("default", "zero", None):
            raise UserError(f"protocol.embedder.bias must be default, zero or null, but got {self.bias!r}")


@dataclass
class ProtocolConfig:
    name: str
    version: int
    batch_size: int
    iterations_per_epoch: int | None  # null: one pass over the training images
    epochs: int
    evaluate_every: int  # epochs
    patience: int | None  # epochs without a better validation MAP@R before the run stops
    embedding_size: int
    train_images: dict[str, Any]  # _target_ and arguments: what happens to each training image
    eval_images: dict[str, Any]  # _target_ and arguments: what happens to each other image
    optimizer: dict[str, Any]  # _target_ and arguments, for trunk, embedder and (with proxy_lr) the loss's weights
    num_folds: int = 4  # pieces of the training half, each of which validates once; 1: none does, and all train
    embedder: EmbedderConfig = field(default_factory=EmbedderConfig)
    embedder_lr: float | None = None  # null: the optimizer's
    embedder_weight_decay: float | None = None  # null: the optimizer's
    lr_scheduler: dict[str, Any] | None = None  # _target_ and arguments, for every optimizer
    lr_scheduler_step: str = "epoch"  # or iteration: after which the schedulers step
    warmup_epochs: int = 0  # at the start, in which the trunk stays as it is
    clip_grad: float | None = None  # each part of a gradient is cut off at this value
    freeze_batchnorm: bool = False  # the trunk's running statistics stay as they are
    test_scoring: str = "every"  # evaluation; once: only the weights that count (selection.py); never: tuning
    keep_embeddings: bool = False  # of the test images, at the chosen epoch
    neighbors: str = "exact"  # or faiss: how the nearest images are found, which differs where distances are equal
    precision: str = "float32"  # of trunk and embedder; the loss is always float32
    compile: bool = False  # trunk and embedder
    channels_last: bool = False  # the trunk's layout in memory

    def __post_init__(self) -> None:
        for key in ("batch_size", "iterations_per_epoch", "epochs", "evaluate_every", "embedding_size"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise UserError(f"protocol.{key} must be at least 1, but got {value}")
        if self.num_folds < 1:
            raise UserError(f"protocol.num_folds must be at least 1, but got {self.num_folds}")
        if self.patience is not None and self.patience < 0:
            raise UserError(f"protocol.patience must be null or at least 0, but got {self.patience}")
        if not 0 <= self.warmup_epochs <= self.epochs:
            raise UserError(
                f"protocol.warmup_epochs must be between 0 and protocol.epochs={self.epochs}, "
                f"but got {self.warmup_epochs}"
            )
        for key in ("embedder_lr", "embedder_weight_decay"):
            value = getattr(self, key)
            if value is not None and value < 0:
                raise UserError(f"protocol.{key} must be null or at least 0, but got {value}")
        if self.clip_grad is not None and self.clip_grad <= 0:
            raise UserError(f"protocol.clip_grad must be null or above 0, but got {self.clip_grad}")
        for key, known in (
            ("test_scoring", TEST_SCORING),
            ("precision", PRECISIONS),
            ("neighbors", NEIGHBORS),
            ("lr_scheduler_step", STEPS),
        ):
            if getattr(self, key) not in known:
                raise UserError(f"protocol.{key} must be one of {', '.join(known)}, but got {getattr(self, key)!r}")
        if self.keep_embeddings and self.test_scoring == "never":
            raise UserError("protocol.keep_embeddings needs test embeddings: protocol.test_scoring must not be never")
        if self.num_folds == 1:
            self._refuse_what_validation_is_needed_for()

    def _refuse_what_validation_is_needed_for(self) -> None:
        problem = None
        if self.patience is not None:
            problem = f"patience={self.patience} waits for a better validation score (null waits for nothing)"
        elif self.test_scoring == "never":
            problem = "test_scoring=never, as in tuning, leaves validation scores alone"
        if problem:
            raise UserError(
                f"protocol {self.name} has no validation (protocol.num_folds=1), but {problem}: protocol.num_folds=4 "
                "makes every fourth training class validate"
            )

    def iterations(self, images: int) -> int:
        """Of an epoch over so many training images; a last batch that would not be full is left out."""
        return self.iterations_per_epoch or max(1, images // self.batch_size)


@dataclass
class Tuned:
    """The trial that a run's parameters come from."""

    study: str
    trial: int


@dataclass
class RunConfig:
    """All that decides a training's numbers: its identity."""

    data: DataConfig
    loss: LossConfig
    method: MethodConfig
    trunk: TrunkConfig
    protocol: ProtocolConfig
    fold: int
    seed: int
    tuned: Tuned | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UserError(f"seed must be at least 0, but got {self.seed}")
        images_per_class = self.loss.images_per_class
        if images_per_class is not None and (images_per_class < 1 or self.protocol.batch_size % images_per_class):
            raise UserError(
                f"loss.images_per_class must divide protocol.batch_size={self.protocol.batch_size}, "
                f"but got {images_per_class}"
            )

    def identity(self) -> dict[str, Any]:
        """Plain dicts, lists and scalars; of the data only what decides the images."""
        return asdict(self) | {"data": self.data.identity()}


@dataclass
class RunOptions:
    """What a training is not known by: where it writes, what it shows, what it computes on."""

    runs: str
    quiet: bool
    threads: int
    device: str
    per_gpu: int
    allow: list[str] = field(default_factory=list)  # packages that _target_ may name, beside those of targets.ALLOWED

    def __post_init__(self) -> None:
        for key in ("threads", "per_gpu"):
            if (value := getattr(self, key)) < 1:
                raise UserError(f"{key} must be at least 1, but got {value}")
        check_folder("runs", self.runs)


def check_folder(key: str, path: str) -> None:
    """Refuse, as the value of ``key``, what is no folder and where none can be made."""
    there = next(folder for folder in (Path(path), *Path(path).parents) if folder.exists())
    if not there.is_dir():
        raise UserError(f"{key} must be a folder, but {there} is none")
