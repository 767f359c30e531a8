"""The typed shape of a protocol and its embedder, and what their values must be."""

from dataclasses import dataclass, field
from typing import Any

from ..errors import UserError, unknown

TEST_SCORING = ("never", "once", "every")
PRECISIONS = ("float32", "bfloat16")
NEIGHBORS = ("exact", "faiss")
STEPS = ("epoch", "iteration")
EMBEDDERS = ("linear", "mlp", "residual", "identity")
ACTIVATIONS = ("relu", "gelu", "tanh")
EMBEDDERS_WITH = {  # keys that the other kinds of embedder leave unused
    **dict.fromkeys(("init", "bias"), ("linear", "mlp")),
    **dict.fromkeys(("hidden_size", "activation", "dropout"), ("mlp", "residual")),
}
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
    uncertainty: bool = False  # whether the run measures how well scores predict wrong answers, also under corruptions

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
