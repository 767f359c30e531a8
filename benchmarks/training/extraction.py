"""A trunk's features of a whole data set, computed once."""

import importlib.metadata
import json
import os
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..config.compose import RunConfig, RunOptions
from ..data import ImageArrays, load
from ..data.features import FEATURES, REST, Features, npz_bytes, read_features
from ..data.split import split_of
from ..errors import UserError
from ..runs.resumable import PROGRESS, ResumableArray, held
from ..runs.writer import write_whole
from ..trunks.weights import hash_of
from .build import build_trunk
from .device import choose_device, repeatable
from .images import StoredImages, eval_images, training_images
from .pixel_store import store_of
from .precision import autocast, lay_out
from .seeds import stream_seed

BATCH_SIZE = 64
PACKAGES = ("numpy", "pml-aug", "timm", "torch", "torchvision")
DTYPES: dict[str, type[np.floating]] = {"float32": np.float32, "float16": np.float16}


def extract(
    config: RunConfig,
    options: RunOptions,
    out: Path,
    views: int = 0,
    dtype: str = "float32",
    bfloat16: bool = False,
    until: float | None = None,
) -> Path:
    """Write the features of a data set to ``out``, whole or not at all, and give its path.

    What was computed before an interruption stays in ``OUT.unfinished``, and the next call with the same settings goes
    on from there; its result is the same to the last bit.

    Args:
        config: data and trunk; the protocol's ``eval_images`` prepares each image, ``train_images`` each view.
        options: device, threads, and whether to show progress.
        out: a file ``*.npz``, or else a directory, whose features are mapped into memory when they are read.
        views: augmented views per image of the training classes; the rows of other classes repeat their features.
        dtype: ``float32`` or ``float16``, in the file.
        bfloat16: what the trunk computes with, instead of float32.
        until: time of ``time.monotonic()`` at which to stop and keep what is computed; None: never.

    Raises:
        UserError: if the time is over, data or trunk cannot be used, or ``out`` holds something else.
    """
    if config.data.kind == "features":
        raise UserError("data=features has no images to compute features of: choose a data set of images")
    if views < 0:
        raise UserError(f"--views must be at least 0, but got {views}")
    try:
        data = load(config.data)
        learned = split_of(data, config.data, 0, 1).train
    except (OSError, ValueError) as error:
        raise UserError(f"data={config.data.name}: {error}") from error
    device = choose_device(options.device)
    with repeatable(options.threads):
        trunk, width = build_trunk(config, data.channels, data.image_size)
        provenance = _provenance(config, data, trunk, views, bfloat16, device)
        if config.protocol.channels_last:
            lay_out(trunk)
        shape = (len(data.labels), width) if views == 0 else (len(data.labels), 1 + views, width)
        unfinished = out.with_name(f"{out.name}.unfinished")
        with held(unfinished):
            if out.exists():
                _require_same(out, provenance, dtype)
                shutil.rmtree(unfinished)
                return out
            features = ResumableArray(unfinished, FEATURES, {"provenance": provenance}, shape, DTYPES[dtype])
            precision = "bfloat16" if bfloat16 else "float32"
            rows = _Rows(config, data, trunk.to(device).eval(), device, learned, views, precision)
            title, done = f"features of {data.name}", features.rows
            with tqdm(total=shape[0], initial=done, unit="image", desc=title, disable=options.quiet) as progress:
                for start in range(done, shape[0], BATCH_SIZE):
                    block = rows.features(start, min(start + BATCH_SIZE, shape[0]))
                    features.add(_as(dtype, block, start))
                    progress.update(len(block))
                    if until is not None and time.monotonic() > until and features.rows < shape[0]:
                        features.save()
                        raise UserError(
                            f"the time is over with the features of {features.rows:,} of {shape[0]:,} images: the same "
                            "command goes on from there"
                        )
            features.save()
            _finish(out, unfinished, features.array, data, provenance)
    return out


def seconds_an_image(config: RunConfig, options: RunOptions) -> tuple[float, int]:
    """Seconds in which a trunk computes the features of one image, by those of a batch, and the number of images.

    Raises:
        UserError: if data or trunk cannot be used.
    """
    try:
        data = load(config.data)
    except (OSError, ValueError) as error:
        raise UserError(f"data={config.data.name}: {error}") from error
    device, count = choose_device(options.device), min(BATCH_SIZE, len(data.labels))
    with repeatable(options.threads):
        trunk, _ = build_trunk(config, data.channels, data.image_size)
        if config.protocol.channels_last:
            lay_out(trunk)
        rows = _Rows(config, data, trunk.to(device).eval(), device, np.zeros(0, dtype=np.int64), 0, "float32")
        rows.features(0, count)  # warms up
        started = time.perf_counter()
        rows.features(0, count)
    return (time.perf_counter() - started) / count, len(data.labels)


class _Rows:
    """Computes rows of the features.

    A block of rows depends on the block alone, so that a computation in parts gives what one in one piece gives.
    """

    def __init__(
        self,
        config: RunConfig,
        data: ImageArrays,
        trunk: nn.Module,
        device: torch.device,
        learned: np.ndarray,
        views: int,
        precision: str,
    ) -> None:
        store, every = store_of(data, device), np.arange(len(data.labels))
        self.evaluated = eval_images(config, store, every, data.labels)
        self.augmented = training_images(config, store, every, data.labels) if views else None
        self.trunk, self.device, self.views, self.precision, self.seed = trunk, device, views, precision, config.seed
        self.learned = np.isin(every, learned)

    def features(self, start: int, stop: int) -> np.ndarray:
        """(stop - start, F) or (stop - start, 1 + views, F), float32."""
        rows = np.arange(start, stop)
        plain = self._through(self.evaluated.__getitems__(rows.tolist())[0])
        if self.augmented is None:
            return plain
        found = np.repeat(plain[:, None], 1 + self.views, axis=1)
        learned = np.flatnonzero(self.learned[start:stop])
        for view in range(self.views if len(learned) else 0):
            assert isinstance(self.augmented, StoredImages)  # there are pixels to augment
            self.augmented.generator.manual_seed(stream_seed(self.seed, "feature view", view, start))
            found[learned, 1 + view] = self._through(self.augmented.__getitems__(rows[learned].tolist())[0])
        return found

    def _through(self, images: Tensor) -> np.ndarray:
        with torch.no_grad(), autocast(self.precision, self.device):
            features = self.trunk(images)
        return features.float().cpu().numpy()


def _as(dtype: str, block: np.ndarray, start: int) -> np.ndarray:
    with np.errstate(over="ignore"):
        stored = block.astype(DTYPES[dtype])
    if not np.isfinite(block).all():
        row = int(np.argwhere(~np.isfinite(block))[0][0])
        raise UserError(f"the trunk gives nan or inf for image {start + row}: check its weights")
    if not np.isfinite(stored).all():
        raise UserError(f"features up to {np.abs(block).max():.3g} do not fit into float16: use --dtype float32")
    return stored


def _provenance(
    config: RunConfig, data: ImageArrays, trunk: nn.Module, views: int, bfloat16: bool, device: torch.device
) -> dict[str, Any]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "data": {"name": data.name, "hash": data.content_hash},
        "trunk": asdict(config.trunk),
        "weights": hash_of(trunk),
        "transform": config.protocol.eval_images,
        "views": {"number": views, "transform": config.protocol.train_images, "seed": config.seed} if views else None,
        "precision": "bfloat16" if bfloat16 else "float32",
        "device": device.type,
        "versions": versions,
        **({"channels_last": True} if config.protocol.channels_last else {}),
    }


def _require_same(out: Path, provenance: dict[str, Any], dtype: str) -> None:
    try:
        found = read_features(out, single_images=True)
    except ValueError as error:
        raise UserError(f"--out is there already, and holds no features: {error}") from error
    wanted = json.loads(json.dumps(provenance))
    if found.provenance != wanted or found.features.dtype != DTYPES[dtype]:
        differing = [key for key in wanted if found.provenance.get(key) != wanted[key]] or ["dtype"]
        raise UserError(f"{out} is there already with other {', '.join(differing)}: choose another --out, or delete it")


def _finish(out: Path, unfinished: Path, features: np.memmap, data: ImageArrays, provenance: dict[str, Any]) -> None:
    features.flush()
    whole = Features(
        features, data.labels, data.class_names, data.source, data.source_names, data.partition, provenance
    )
    if out.suffix == ".npz":
        write_whole(unfinished / out.name, npz_bytes({"features": features, **whole.rest()}))
        os.replace(unfinished / out.name, out)
        shutil.rmtree(unfinished)
    else:
        write_whole(unfinished / REST, npz_bytes(whole.rest()))
        os.replace(unfinished, out)
        (out / PROGRESS).unlink()
