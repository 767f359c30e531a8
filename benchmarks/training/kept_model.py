"""Keeps a trained model: its weights as safetensors, and beside them what builds it again."""

import hashlib

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
from ..runs.writer import source_state
from ..trunks.preprocessed import Preprocessed
from .feature_store import FeatureStore
from .selection import chosen_entry
from .training import Training


def keep_model(config: RunConfig, data: ImageArrays, split: Split, training: Training) -> None:
    """Write the model of the selected epoch into the run directory, or log why it cannot be kept."""
    weights = training.evaluation.weights
    if not weights:
        training.log("the weights are not kept: the best epoch was trained with keep=nothing, before an interruption")
        return
    tensors = {f"{part}.{name}": value for part, state in weights.items() for name, value in state.items()}
    others = [name for name, value in tensors.items() if not isinstance(value, Tensor)]
    if others:
        training.log(f"the weights are not kept: {others[0]} is no tensor, and safetensors holds nothing else")
        return
    if isinstance(data, FeatureArrays):
        tensors |= _standardization(data, training.trainer.dataset.store)
    content = safetensors.torch.save({name: value.contiguous() for name, value in tensors.items()})
    described = _described(config, data, split, training, hashlib.sha256(content).hexdigest())
    training.folder.write_model(content, described.as_dict())


def _standardization(data: FeatureArrays, store: FeatureStore) -> dict[str, Tensor]:
    columns = np.arange(data.channels) if data.columns is None else data.columns
    found = {"columns": columns, "mean": store.mean, "scale": store.scale}
    return {f"prepare.{name}": torch.from_numpy(np.ascontiguousarray(array)) for name, array in found.items()}


def _described(config: RunConfig, data: ImageArrays, split: Split, training: Training, sha256: str) -> ModelDescription:
    learned = np.unique(data.labels[split.train])
    images, features = None, None
    if isinstance(data, FeatureArrays):
        features = FeatureForm(data.num_columns or data.channels, data.channels, data.provenance)
    else:
        images = _image_form(config, data)
    return ModelDescription(
        version=VERSION,
        run=training.folder.name,
        loss=config.loss.name,
        method=config.method.name,
        fold=config.fold,
        seed=config.seed,
        epoch=chosen_entry(training.evaluation.history)["epoch"],
        metric="cosine",
        embedding_size=config.protocol.embedding_size,
        images=images,
        features=features,
        trunk=config.trunk,
        preprocessing=_preprocessing(training.parts.models["trunk"]),
        embedder=config.protocol.embedder,
        head=config.method.head,
        data=TrainedOn(data.name, data.content_hash, len(split.train), [data.class_names[k] for k in learned]),
        commit=source_state()[0],
        sha256=sha256,
    )


def _image_form(config: RunConfig, data: ImageArrays) -> ImageForm:
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


def _preprocessing(trunk: nn.Module) -> Preprocessing | None:
    if not isinstance(trunk, Preprocessed):
        return None
    mean, std = (values.flatten().tolist() for values in (trunk.mean, trunk.std))
    return Preprocessing(list(trunk.image_size), mean, std, trunk.interpolation)
