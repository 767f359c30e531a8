"""What ``model.json`` says of a trained model: how to build it, what it takes, and what it was trained on."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..config.parts import TrunkConfig
from ..config.protocol import EmbedderConfig
from ..config.typed import typed
from ..errors import UserError
from .checked_json import Fields, damaged, parsed
from .done import sealed_bytes
from .schema import DONE, MODEL

VERSION = 1  # of the layout of model.json


@dataclass
class ImageForm:
    """The form that an image gets before the trunk: fitted, then transformed as evaluated images are."""

    channels: int  # 1 (gray) or 3 (RGB)
    fit: list[int] | None  # height and width of the largest centred rectangle; null: the image is not cut
    short_side: int | None  # pixels, the other side in proportion; null: the image is not resized
    upright: bool  # turned as EXIF says, white where transparent
    transform: dict[str, Any]  # _target_ and arguments


@dataclass
class FeatureForm:
    """The vectors that a model takes in the place of images."""

    number: int  # of features in a row
    number_used: int  # of them; the weights say which, and how they are standardised
    provenance: dict[str, Any]  # the trunk and images that they come from, where the file of features says so


@dataclass
class Preprocessing:
    """What a trunk of timm or torchvision does first; decided by its pretrained weights, so kept with the model."""

    image_size: list[int]
    mean: list[float]
    std: list[float]
    interpolation: str


@dataclass
class TrainedOn:
    """The data of a model."""

    name: str
    hash: str
    images: int
    classes: list[str]  # names of the training classes


@dataclass
class ModelDescription:
    """Everything but the weights that rebuilds a trained model."""

    version: int
    run: str  # name of the run directory that it was trained in
    loss: str
    method: str
    fold: int
    seed: int
    epoch: int  # the selected one
    metric: str  # cosine: of unit embeddings, in which Euclidean distances have the same order
    embedding_size: int
    images: ImageForm | None  # null: it takes features
    features: FeatureForm | None  # beside images: of the trunk, which standardises them before the head
    trunk: TrunkConfig
    preprocessing: Preprocessing | None
    embedder: EmbedderConfig
    head: dict[str, Any] | None  # _target_ and arguments of what a method puts in the place of the linear layer; of
    # raw features, of what makes embeddings of them
    data: TrainedOn
    commit: str | None  # of the code that trained it; null outside a checkout
    sha256: str  # of model.safetensors

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise UserError(f"the model has layout {self.version}, but this version reads layout {VERSION}: train anew")
        if self.images is None and self.features is None:
            raise UserError("a model takes images or features: one of the two must be described")

    def as_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and scalars."""
        return asdict(self)


def read_description(directory: Path) -> ModelDescription:
    """The description of the model in a run directory, or in a directory that it was exported to.

    In a finished run, the file must be the one that was there when the run ended.

    Raises:
        UserError: the directory has no model, or its description is damaged.
    """
    path = directory / MODEL
    if not path.exists():
        if (directory / DONE).exists():
            raise UserError(
                f"{directory} kept no model: it was trained with keep=nothing, the default of suites and studies; "
                "delete it and train it again with keep=weights"
            )
        state = "has no finished run" if directory.is_dir() else "is no directory"
        raise UserError(f"{directory} {state}: give a run directory, or a directory that a model was exported to")
    content = parsed(path, sealed_bytes(directory, MODEL) if (directory / DONE).exists() else None)
    if Fields(path, content).count("version") != VERSION:
        raise UserError(
            f"{path} has layout {content['version']}, but this version of the benchmark reads layout {VERSION}: load "
            "it with the version that wrote it, or train again"
        )
    try:
        return typed(ModelDescription, content)
    except UserError as error:
        raise damaged(path, str(error)) from error
