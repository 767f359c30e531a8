"""Builds a trained model from its run directory. Nothing in the directory is executed."""

import hashlib
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ..config.parts import RAW, TrunkConfig
from ..config.targets import check_targets, deferred
from ..errors import UserError
from ..runs.checked_json import damaged
from ..runs.model_description import ImageForm, ModelDescription, read_description
from ..runs.schema import WEIGHTS
from ..training.build import make_trunk
from ..training.device import choose_device
from ..training.embedders import make_embedder
from ..training.images import ModelInput
from ..training.nodes import refused
from ..trunks.preprocessed import Preprocessed
from ..trunks.width import feature_width
from .model import EmbeddingModel, Standardization, StandardizedTrunk
from .transform import ImageTransform

FILES = {"weights": None, "sha256": None, "download": False}  # arguments of our trunks that the kept weights replace
ANY_SIDE = 224  # pixels; for trunks whose images have no size of their own


def load_model(directory: Path | str, allow: Collection[str] = (), device: str = "cpu") -> EmbeddingModel:
    """The trained model of a run directory, or of a directory that it was exported to; in evaluation mode.

    Args:
        directory: with ``model.json`` and ``model.safetensors``.
        allow: packages of yours whose classes the model is built from; their code runs (docs/trust.md).
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        UserError: there is no model, it is damaged, or it names classes outside the allowed packages.

    Example:
        >>> model = load_model("runs/64afad6c48a7")  # doctest: +SKIP
        >>> levels = torch.stack([model.transform(file) for file in ("a.jpg", "b.jpg")])  # doctest: +SKIP
        >>> similarity = model(levels) @ model(levels).T  # doctest: +SKIP
    """
    directory = Path(directory)
    description = read_description(directory)
    model = build_model(description, allow)
    load_weights(model, directory / WEIGHTS)
    placed = choose_device(device)
    if placed.type == "mps":  # which has no float64
        model = model.float()
    return model.eval().to(placed)


def build_model(description: ModelDescription, allow: Collection[str]) -> EmbeddingModel:
    """The model that a description describes, with random weights.

    Raises:
        UserError: it names classes outside the allowed packages, or cannot be built.
    """
    images = description.images
    check_targets(
        {
            "trunk.network": description.trunk.network,
            "embedder.init": description.embedder.init,
            "head": description.head,
            "images.transform": images.transform if images else None,
        },
        allow,
    )
    with torch.random.fork_rng():
        if images is not None:
            trunk = rebuilt_trunk(description, images.channels)
            channels, side = description.trunk.channels or images.channels, _side(images)
            with refused(f"trunk={description.trunk.name}"):
                width = feature_width(trunk, (channels, side, side))
            prepare: nn.Module = ModelInput(description.trunk.normalization, torch.device("cpu"))
            if description.features is not None:
                width = description.features.number_used
                trunk = StandardizedTrunk(trunk, Standardization(width))
        else:
            assert description.features is not None
            prepare = Standardization(description.features.number_used)
            trunk = rebuilt_trunk(description, description.features.number_used)
            with refused(f"trunk={description.trunk.name}"):
                width = feature_width(trunk, (description.features.number_used,))
        if description.loss in RAW:
            assert description.head is not None
            embedder = deferred(description.head)(width)
        else:
            embedder = make_embedder(
                description.embedder, width, description.embedding_size, description.method, description.head
            )
    transform = None if images is None else ImageTransform(images)
    return EmbeddingModel(description, prepare, trunk, embedder, transform)


def rebuilt_trunk(description: ModelDescription, channels: int) -> nn.Module:
    """The trunk with random weights, and the preprocessing that its pretrained weights had."""
    trunk = make_trunk(_without_files(description.trunk), channels)
    known = description.preprocessing
    if known is not None and isinstance(trunk, Preprocessed):
        with refused(f"trunk={description.trunk.name}"):
            trunk.image_size, trunk.interpolation = (known.image_size[0], known.image_size[1]), known.interpolation
            trunk.mean, trunk.std = (torch.tensor(values)[:, None, None] for values in (known.mean, known.std))
    return trunk


def load_weights(model: nn.Module, path: Path) -> None:
    """Load the file of weights that the model's description names by its sha256.

    Raises:
        UserError: it is missing, another one, or does not fit.
    """
    description: Any = model.description
    if not path.is_file():
        raise UserError(f"{path} is missing: the weights were deleted or not copied; copy them, or train again")
    with open(path, "rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != description.sha256:
            raise damaged(path, "not the weights that its model.json names (their sha256 differs); copy both again")
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
        model.load_state_dict(tensors)
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise damaged(path, f"does not fit the model: {' '.join(str(error).split())[:500]}") from error


def _without_files(trunk: TrunkConfig) -> TrunkConfig:
    """The same trunk with random weights, which the kept ones replace: no published file is read or fetched."""
    network = trunk.network
    if str(network.get("_target_")).startswith("benchmarks.trunks."):
        network = {key: FILES.get(key, value) for key, value in network.items()}
    return replace(trunk, network=network)


def _side(images: ImageForm) -> int:
    """Pixels per side of a square that the trunk takes."""
    given = images.transform.get("size") or (images.fit[0] if images.fit else images.short_side)
    return given if isinstance(given, int) else ANY_SIDE
