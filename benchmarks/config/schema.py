"""The typed shape of a training's configuration, and what its values must be."""

import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import UserError, unknown
from .data import DataConfig
from .parts import LossConfig, MethodConfig, TrunkConfig
from .protocol import ProtocolConfig

KEEP = ("nothing", "weights")
LOGGERS = ("none", "wandb", "mlflow")
AS_IT_IS = "benchmarks.training.transforms.Identity"
CENTER_CROP = "benchmarks.training.transforms.CenterCrop"
RAW_DEPENDS_ON = {  # keys of a configuration that decide the numbers of such a run
    "loss": ("name", "criterion"),
    "method": ("name",),
    "trunk": ("name", "network", "normalization"),
    "protocol": ("name", "version", "eval_images", "num_folds", "test_scoring", "neighbors", "precision", "clustering"),
}
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")


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
                "its features with: pml-aug features"
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
