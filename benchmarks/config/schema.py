"""The typed shape of a training's configuration, and what its values must be."""

import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import UserError, unknown
from .data import DataConfig

TEST_SCORING = ("never", "once", "every")
PRECISIONS = ("float32", "bfloat16")
NEIGHBORS = ("exact", "faiss")
STEPS = ("epoch", "iteration")
KEEP = ("nothing", "weights")
LOGGERS = ("none", "wandb", "mlflow")
EMBEDDERS = ("linear", "mlp", "residual", "identity")
ACTIVATIONS = ("relu", "gelu", "tanh")
EMBEDDERS_WITH = {  # keys that the other kinds of embedder leave unused
    **dict.fromkeys(("init", "bias"), ("linear", "mlp")),
    **dict.fromkeys(("hidden_size", "activation", "dropout"), ("mlp", "residual")),
}
AS_IT_IS = "benchmarks.training.transforms.Identity"
CENTER_CROP = "benchmarks.training.transforms.CenterCrop"
RAW = ("raw", "raw_standardized")  # losses that train nothing: the trunk's features are the embeddings
RAW_DEPENDS_ON = {  # keys of a configuration that decide the numbers of such a run
    "loss": ("name", "criterion"),
    "method": ("name",),
    "trunk": ("name", "network", "normalization"),
    "protocol": ("name", "version", "eval_images", "num_folds", "test_scoring", "neighbors", "precision", "clustering"),
}
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")
LIMITS = {
    "batch_size": (1, 2**20),
    "iterations_per_epoch": (1, 10**7),
    "epochs": (1, 10**6),
    "evaluate_every": (1, 10**6),
    "embedding_size": (1, 2**16),
    "num_folds": (1, 1000),
    "patience": (0, 10**6),
}  # lowest and highest values in a protocol; the highest are beyond any use, so that no typing error fills the memory


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


@dataclass
class EmbedderConfig:
    """The network from the trunk's features to embeddings: a linear layer, unless ``kind`` is another."""

    kind: str = "linear"  # or mlp; residual: features plus an MLP's correction, which starts at zero; identity
    hidden_size: int | None = None  # of mlp and residual; null: as many as there are features
    activation: str = "relu"  # of mlp and residual; or gelu, tanh
    dropout: float = 0.0  # of mlp and residual: share of the hidden units that a step leaves out
    init: dict[str, Any] | None = None  # _target_ and arguments, for the weight; null: PyTorch's own
    bias: str | None = "default"  # initial value: default (PyTorch's own) or zero; null: no bias
    layer_norm: bool = False  # standardise each image's features first

    def __post_init__(self) -> None:
        if self.bias not in ("default", "zero", None):
            raise UserError(f"protocol.embedder.bias must be default, zero or null, but got {self.bias!r}")
        for key, known in (("kind", EMBEDDERS), ("activation", ACTIVATIONS)):
            if getattr(self, key) not in known:
                raise UserError(unknown(f"protocol.embedder.{key}", getattr(self, key), known))
        if self.hidden_size is not None and self.hidden_size < 1:
            raise UserError(f"protocol.embedder.hidden_size must be null or at least 1, but got {self.hidden_size}")
        if not 0 <= self.dropout < 1:
            raise UserError(f"protocol.embedder.dropout must be at least 0 and below 1, but got {self.dropout}")
        for key, kinds in EMBEDDERS_WITH.items():
            if getattr(self, key) != getattr(type(self), key) and self.kind not in kinds:
                raise UserError(
                    f"protocol.embedder.{key} has no effect with protocol.embedder.kind={self.kind}: it is for "
                    f"{' and '.join(kinds)}"
                )


@dataclass
class ProtocolConfig:
    name: str
    version: int
    batch_size: int
    iterations_per_epoch: int | None  # null: one pass over the training images
    epochs: int
    evaluate_every: int  # epochs
    patience: int | None  # epochs without a better validation MAP@R after which the run stops; null: never
    embedding_size: int
    train_images: dict[str, Any]  # _target_ and arguments: transform of the training images
    eval_images: dict[str, Any]  # _target_ and arguments: transform of all other images
    optimizer: dict[str, Any]  # _target_ and arguments, for trunk, embedder and (with proxy_lr) the loss's weights
    num_folds: int = 4  # parts of the training classes, each the validation set of one fold; 1: no validation
    embedder: EmbedderConfig = field(default_factory=EmbedderConfig)
    embedder_lr: float | None = None  # null: the optimizer's
    embedder_weight_decay: float | None = None  # null: the optimizer's
    lr_scheduler: dict[str, Any] | None = None  # _target_ and arguments, for every optimizer
    lr_scheduler_step: str = "epoch"  # or iteration: after which the schedulers step
    warmup_epochs: int = 0  # first epochs, in which the trunk is not trained
    clip_grad: float | None = None  # each entry of a gradient is clipped to this absolute value
    freeze_batchnorm: bool = False  # whether the trunk's running statistics are kept
    test_scoring: str = "every"  # evaluation; once: only with the chosen weights (selection.py); never: for tuning
    keep_embeddings: bool = False  # whether the test embeddings of the chosen epoch are written
    neighbors: str = "exact"  # or faiss: search of the nearest images; the two differ where distances are equal
    precision: str = "float32"  # of trunk and embedder; the loss is always float32
    compile: bool = False  # trunk and embedder
    channels_last: bool = False  # the trunk's layout in memory
    clustering: bool = False  # whether NMI and AMI of the test images are computed, too; costly for many classes

    uncertainty: bool = False  # whether what tells right from wrong answers is measured at the end, on corruptions too

    def __post_init__(self) -> None:
        for key, (low, high) in LIMITS.items():
            value = getattr(self, key)
            if value is not None and not low <= value <= high:
                raise UserError(f"protocol.{key} must be at least {low} and at most {high}, but got {value}")
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
        if self.uncertainty and self.test_scoring == "never":
            raise UserError("protocol.uncertainty is of the test images: protocol.test_scoring must not be never")
        if self.num_folds == 1:
            self._check_without_validation()

    def _check_without_validation(self) -> None:
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
        """Iterations per epoch over a number of training images; an incomplete last batch is left out."""
        return self.iterations_per_epoch or max(1, images // self.batch_size)


@dataclass
class Tuned:
    """The trial of a study that a run's parameters come from."""

    study: str
    trial: int


@dataclass
class RunConfig:
    """Everything that determines a training's results; its hash names the run."""

    data: DataConfig
    loss: LossConfig
    method: MethodConfig
    trunk: TrunkConfig
    protocol: ProtocolConfig
    fold: int
    seed: int
    tuned: Tuned | None = None

    def __post_init__(self) -> None:
        if self.data.kind == "features":
            self._refuse_what_needs_pixels()
        if self.data.train_on == "all":
            self._refuse_what_needs_scores()
        if self.data.single_images == "train" and (self.loss.images_per_class or 1) > 1 and not self.loss.is_raw:
            raise UserError(
                f"loss={self.loss.name} compares images of one class with each other, and data.single_images=train "
                "adds classes of one image: use a loss with proxies, or data.single_images=distractors"
            )
        if self.loss.is_raw:
            self._drop_what_only_trainings_have()
        if self.seed < 0:
            raise UserError(f"seed must be at least 0, but got {self.seed}")
        if not 0 <= self.fold < self.protocol.num_folds:
            raise UserError(
                f"fold must be between 0 and {self.protocol.num_folds - 1} with protocol.num_folds="
                f"{self.protocol.num_folds}, but got {self.fold}"
            )
        images_per_class, batch_size = self.loss.images_per_class, self.protocol.batch_size
        if images_per_class is None:
            return
        if images_per_class < 1 or batch_size % images_per_class:
            raise UserError(
                f"loss.images_per_class must divide protocol.batch_size={batch_size}, but got {images_per_class}"
            )
        if batch_size == images_per_class:
            raise UserError(
                f"protocol.batch_size={batch_size} with loss.images_per_class={images_per_class} gives batches of one "
                f"class, from which nothing is learnt: protocol.batch_size must be at least {2 * images_per_class}"
            )

    def _drop_what_only_trainings_have(self) -> None:
        if self.method.name != "none":
            raise UserError(
                f"loss={self.loss.name} trains nothing, so that no method can act: method must be none, but got "
                f"{self.method.name}"
            )
        self.seed, self.tuned = 0, None
        if self.data.kind == "features":  # the loss says whether they are standardised
            self.data = replace(self.data, standardize=False)

    def _refuse_what_needs_scores(self) -> None:
        """Refuse what waits for scores of validation or test, where every class trains; the last epoch is kept."""
        problem = None
        if self.protocol.test_scoring == "never":
            problem = "protocol.test_scoring=never, as in tuning, leaves validation scores alone"
        elif self.protocol.patience is not None:
            problem = f"protocol.patience={self.protocol.patience} waits for a better validation score (null: for none)"
        elif self.protocol.keep_embeddings:
            problem = "protocol.keep_embeddings=true keeps those of the test set"
        elif self.fold:
            problem = f"fold={self.fold} names one of the folds (use fold=0)"
        if problem:
            raise UserError(f"data.train_on=all leaves neither validation nor test set, but {problem}")

    def _refuse_what_needs_pixels(self) -> None:
        for key in ("train_images", "eval_images"):
            if (target := getattr(self.protocol, key).get("_target_")) != AS_IT_IS:
                raise UserError(
                    f"protocol.{key}={target} changes pixels, and data.kind=features has none: use protocol=frozen, or "
                    f"protocol.{key}._target_={AS_IT_IS}"
                )
        if self.trunk.normalization is not None:
            raise UserError(
                f"trunk={self.trunk.name} takes images, and data.kind=features has none: use trunk=given, or compute "
                "its features with: python -m benchmarks features"
            )

    def identity(self) -> dict[str, Any]:
        """Plain dicts, lists and scalars: what decides the images, and what decides the training on them.

        Of a run that trains nothing it has only :data:`RAW_DEPENDS_ON`, so that one such run serves all losses,
        methods, seeds and lengths of training that it is compared with.
        """
        found = asdict(self) | {"data": self.data.identity(), "method": self.method.identity()}
        for key in ("clustering", "uncertainty"):
            if not found["protocol"][
                key
            ]:  # runs that do not use it have the name that they had before there was the key
                del found["protocol"][key]
        if self.loss.is_raw:
            for group, keys in RAW_DEPENDS_ON.items():
                found[group] = {key: found[group][key] for key in keys if key in found[group]}
        return found


@dataclass
class RunOptions:
    """Options that do not affect the results: where a training writes, what it prints, what it computes on."""

    runs: str
    quiet: bool
    threads: int
    device: str
    per_gpu: int
    allow: list[str] = field(default_factory=list)  # packages that _target_ may name, beside those of targets.ALLOWED
    keep: str = "nothing"  # of the trained model; or weights: those of the chosen epoch, to be loaded (docs/models.md)
    logger: str = "none"  # that gets the scores beside the run directory (docs/records.md)

    def __post_init__(self) -> None:
        if self.keep not in KEEP:
            raise UserError(unknown("keep", self.keep, KEEP))
        if self.logger not in LOGGERS:
            raise UserError(unknown("logger", self.logger, LOGGERS))
        for key in ("threads", "per_gpu"):
            if not 1 <= (value := getattr(self, key)) <= 1024:
                raise UserError(f"{key} must be at least 1 and at most 1024, but got {value}")
        if not DEVICE.fullmatch(self.device):
            raise UserError(f"device must be auto, cpu, cuda, cuda:1 or mps, but got {self.device!r}")
        check_folder("runs", self.runs)


def check_folder(key: str, path: str) -> None:
    """Raises UserError, naming ``key``, for a path that is no directory and cannot become one."""
    if not path or not path.isprintable():
        raise UserError(f"{key} must be a directory, but got {path!r}")
    try:
        there = next(folder for folder in (Path(path), *Path(path).parents) if folder.exists())
    except OSError as error:  # a part of the path that is too long
        raise UserError(f"{key} must be a directory, but {path}: {error.strerror}") from error
    if not there.is_dir():
        raise UserError(f"{key} must be a directory, but {there} is a file")
