"""Keeps a trained model: its weights as safetensors, and beside them what builds it again."""

import hashlib
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from ..config.compose import RunConfig
from ..data import ImageArrays, RaggedImages
from ..data.feature_arrays import FeatureArrays
from ..data.split import Split
from ..runs.model_description import (
    VERSION,
    FeatureForm,
    ImageForm,
    ModelDescription,
    Preprocessing,
    TrainedOn,
)
from ..runs.writer import RunDir, source_state
from ..trunks.preprocessed import Preprocessed
from .evaluation import Evaluation
from .feature_store import FeatureStore
from .pixel_store import ImageStore
from .selection import chosen_entry


class Kept(Protocol):
    """What a training, or the scoring of raw features, leaves for the model."""

    evaluation: Evaluation  # with the weights of the selected epoch
    embedding_size: int

    @property
    def models(self) -> Mapping[str, nn.Module]: ...  # trunk and embedder

    @property
    def store(self) -> ImageStore | FeatureStore: ...

    def log(self, line: str) -> None: ...


def keep_model(config: RunConfig, data: ImageArrays, split: Split, made: Kept, folder: RunDir) -> None:
    """Write the model of the selected epoch into the run directory, or log why it cannot be kept."""
    weights = made.evaluation.weights
    if not weights:
        made.log("the weights are not kept: the best epoch was trained with keep=nothing, before an interruption")
        return
    tensors = {f"{part}.{name}": value for part, state in weights.items() for name, value in state.items()}
    others = [name for name, value in tensors.items() if not isinstance(value, Tensor)]
    if others:
        made.log(f"the weights are not kept: {others[0]} is no tensor, and safetensors holds nothing else")
        return
    if isinstance(data, FeatureArrays):
        assert isinstance(made.store, FeatureStore)
        tensors |= _standardization(data, made.store)
    content = safetensors.torch.save({name: value.contiguous() for name, value in tensors.items()})
    described = _described(config, data, split, made, folder.name, hashlib.sha256(content).hexdigest())
    folder.write_model(content, described.as_dict())


def _standardization(data: FeatureArrays, store: FeatureStore) -> dict[str, Tensor]:
    columns = np.arange(data.channels) if data.columns is None else data.columns
    found = {"columns": columns, "mean": store.mean, "scale": store.scale}
    return {f"prepare.{name}": torch.from_numpy(np.ascontiguousarray(array)) for name, array in found.items()}


def _described(
    config: RunConfig, data: ImageArrays, split: Split, made: Kept, run: str, sha256: str
) -> ModelDescription:
    learned = np.unique(data.labels[split.train])
    images, features = None, None
    if isinstance(data, FeatureArrays):
        features = FeatureForm(data.num_columns or data.channels, data.channels, data.provenance)
    else:
        images = image_form(config, data)
    return ModelDescription(
        version=VERSION,
        run=run,
        loss=config.loss.name,
        method=config.method.name,
        fold=config.fold,
        seed=config.seed,
        epoch=chosen_entry(made.evaluation.history)["epoch"],
        metric="cosine",
        embedding_size=made.embedding_size,
        images=images,
        features=features,
        trunk=config.trunk,
        preprocessing=preprocessing_of(made.models["trunk"]),
        embedder=config.protocol.embedder,
        head=config.loss.criterion if config.loss.is_raw else config.method.head,
        data=TrainedOn(data.name, data.content_hash, len(split.train), [data.class_names[k] for k in learned]),
        commit=source_state()[0],
        sha256=sha256,
    )


def image_form(config: RunConfig, data: ImageArrays) -> ImageForm:
    """The form that images get before the trunk, for ``model.json``."""
    fit, short_side = None, None
    if isinstance(data.images, RaggedImages):
        short_side = config.data.image_size
    else:
        fit = [int(side) for side in data.images.shape[1:3]]
    return ImageForm(
        channels=data.channels,
        fit=fit,
        short_side=short_side,
        upright=not config.data.is_published,  # their images are read as stored, as the official codes do
        transform=config.protocol.eval_images,
    )


def preprocessing_of(trunk: nn.Module) -> Preprocessing | None:
    """What a trunk of timm or torchvision does first; None for others."""
    if not isinstance(trunk, Preprocessed):
        return None
    mean, std = (values.flatten().tolist() for values in (trunk.mean, trunk.std))
    return Preprocessing(list(trunk.image_size), mean, std, trunk.interpolation)
