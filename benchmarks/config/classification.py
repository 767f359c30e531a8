"""The configuration of one training of a classifier: its typed shape, and how command lines become it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import UserError
from .classification_data import ClassificationData
from .compose import Root, composed_values
from .parts import TrunkConfig
from .protocol import PRECISIONS, STEPS
from .schema import RunOptions
from .targets import check_targets
from .typed import typed

OPERATORS = ("none", "mixup", "cutmix")
TEST_SCORING = ("once", "every")
LIMITS = {"batch_size": (2, 2**20), "epochs": (1, 10**6), "evaluate_every": (1, 10**6)}


@dataclass
class ClassifierLoss:
    name: str
    criterion: dict[str, Any]  # _target_ and arguments; gets num_classes and in_features


@dataclass
class MixConfig:
    name: str
    operator: str  # one of OPERATORS
    alpha: float = 1.0  # of the Beta distribution of the mixing weight
    probability: float = 1.0  # of mixing a batch

    def __post_init__(self) -> None:
        if self.operator not in OPERATORS:
            raise UserError(f"mix.operator must be one of {', '.join(OPERATORS)}, but got {self.operator!r}")
        if self.alpha <= 0:
            raise UserError(f"mix.alpha must be above 0, but got {self.alpha}")
        if not 0 < self.probability <= 1:
            raise UserError(f"mix.probability must be above 0 and at most 1, but got {self.probability}")


@dataclass
class ClassifierProtocol:
    name: str
    version: int
    batch_size: int
    epochs: int  # each one pass over the training images; an incomplete last batch is left out
    evaluate_every: int  # epochs
    train_images: dict[str, Any]  # _target_ and arguments: transform of the training images
    eval_images: dict[str, Any]  # _target_ and arguments: transform of the test images
    optimizer: dict[str, Any]  # _target_ and arguments, for trunk and classifier
    lr_scheduler: dict[str, Any] | None = None  # _target_ and arguments; gets total_steps if it takes them
    lr_scheduler_step: str = "epoch"  # or iteration: after which the scheduler steps
    test_scoring: str = "every"  # evaluation; once: only at the end
    precision: str = "float32"  # of the trunk; the loss is always float32
    channels_last: bool = False  # the trunk's layout in memory

    def __post_init__(self) -> None:
        for key, (low, high) in LIMITS.items():
            if not low <= (value := getattr(self, key)) <= high:
                raise UserError(f"protocol.{key} must be at least {low} and at most {high}, but got {value}")
        for key, known in (
            ("test_scoring", TEST_SCORING), ("precision", PRECISIONS), ("lr_scheduler_step", STEPS),
        ):  # fmt: skip
            if getattr(self, key) not in known:
                raise UserError(f"protocol.{key} must be one of {', '.join(known)}, but got {getattr(self, key)!r}")

    def iterations(self, images: int) -> int:
        """Steps per epoch."""
        return images // self.batch_size


@dataclass
class ClassificationConfig:
    """Everything that determines a classifier's results; its hash names the run."""

    data: ClassificationData
    loss: ClassifierLoss
    mix: MixConfig
    trunk: TrunkConfig
    protocol: ClassifierProtocol
    seed: int
    task: str = field(default="classification")

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed must be at least 0 and at most 2**32 - 1, but got {self.seed}")
        if self.task != "classification":
            raise UserError(f"task must be classification, but got {self.task!r}")

    def identity(self) -> dict[str, Any]:
        """Plain dicts, lists and scalars: what decides the images, and what decides the training on them."""
        return asdict(self) | {"data": self.data.identity()}


CLASSIFY = Root(
    file="classify",
    groups={
        **{key: f"classification/{key}@{key}" for key in ("data", "loss", "mix")},
        "trunk": "trunk",
        "protocol": "classification/protocol@protocol",
    },
    shorthands={"recipe": "classification/recipe"},
    schema=ClassificationConfig,
)


def compose_classification(overrides: Sequence[str]) -> tuple[ClassificationConfig, RunOptions]:
    """The configuration of one training of a classifier; of a key or group given twice, the later value counts.

    Args:
        overrides: such as ``["loss=introspective_softmax", "mix=cutmix", "seed=3", "protocol.epochs=5"]``.

    Raises:
        UserError: as :func:`benchmarks.config.compose.compose`.

    Example:
        >>> config, _ = compose_classification(["mix=cutmix", "seed=3"])
        >>> config.mix.operator, config.loss.name, config.seed
        ('cutmix', 'softmax', 3)
    """
    found, options = composed_values(CLASSIFY, overrides)
    if options.keep != "nothing":
        raise UserError(f"keep={options.keep}: trained classifiers are not kept; leave it out")
    if options.logger != "none":
        raise UserError(f"logger={options.logger}: only trainings of embeddings are logged; leave it out")
    config = typed(ClassificationConfig, found)
    check_targets(asdict(config), options.allow)
    return config, options
