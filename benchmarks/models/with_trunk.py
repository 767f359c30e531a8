"""A model of images, from a model of features and the frozen trunk that computed them."""

import hashlib
import json
import os
import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import safetensors.torch
import torch

from ..config.compose import RunConfig
from ..data import load
from ..data.feature_arrays import FeatureArrays
from ..errors import UserError
from ..runs.schema import MODEL, WEIGHTS
from ..runs.writer import write_whole
from ..training.build import build_trunk
from ..training.images import Transform
from ..training.kept_model import image_form, preprocessing_of
from ..training.nodes import make
from ..training.pixel_store import store_of
from .load import load_model
from .model import EmbeddingModel

CHECKED = 64  # images
LARGEST_DIFFERENCE = 1e-4  # of an embedding, which has length 1


def with_trunk(directory: Path, model: EmbeddingModel, config: RunConfig, out: Path, allow: Collection[str]) -> Path:
    """The directory ``out``, for :func:`load_model`, with a trunk and the model trained on its features as one model.

    It is run on real images before it is kept, beside the trunk and the model of features one after the other.

    Args:
        directory: run directory of the model of features.
        model: of it.
        config: that the features were computed with, by the command ``features``.
        out: whole or not at all.
        allow: packages that the model may name classes of.

    Raises:
        UserError: ``out`` exists, the data cannot be read, or the embeddings differ by more than 1e-4.
    """
    if out.exists():
        raise UserError(f"{out} is there already: choose another directory, or delete it")
    try:
        data = load(config.data)
    except (OSError, ValueError) as error:
        raise UserError(f"data={config.data.name}: {error}") from error
    assert not isinstance(data, FeatureArrays), "features have no trunk"
    trunk, _ = build_trunk(config, data.channels, data.image_size)
    tensors = {f"trunk.network.{name}": value for name, value in trunk.state_dict().items()}
    for name, value in model.state_dict().items():
        part, _, rest = name.partition(".")
        tensors |= {"prepare": {f"trunk.standardization.{rest}": value}, "embedder": {name: value}}.get(part, {})
    content = safetensors.torch.save({name: value.contiguous() for name, value in tensors.items()})
    description = replace(
        model.description,
        images=image_form(config, data),
        trunk=config.trunk,
        preprocessing=preprocessing_of(trunk),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    unfinished = out.with_name(f"{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        write_whole(unfinished / WEIGHTS, content)
        write_whole(unfinished / MODEL, (json.dumps(description.as_dict(), indent=1) + "\n").encode())
        rows = list(range(min(CHECKED, len(data.labels))))
        transform: Transform = make("protocol.eval_images", config.protocol.eval_images)
        levels = transform(store_of(data, torch.device("cpu")).pictures(rows), torch.Generator())
        joined: EmbeddingModel = load_model(unfinished, allow)
        with torch.no_grad():
            apart = model(trunk.eval()(joined.prepare(levels)))
            difference = float((joined(levels) - apart).abs().max())
        if not difference <= LARGEST_DIFFERENCE:
            raise UserError(
                f"trunk and model give other embeddings together, by up to {difference:.2g} (allowed: "
                f"{LARGEST_DIFFERENCE:g}), so they were not kept"
            )
        os.replace(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return out
