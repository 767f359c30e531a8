"""Images of training and evaluation, prepared a batch at a time on the device of the model."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from pml_aug.to_device import to_device

from ..config.classification import ClassificationConfig
from ..config.compose import RunConfig
from ..config.parts import Normalization
from ..config.targets import deferred
from ..errors import UserError
from .feature_store import FeatureStore, StoredFeatures
from .pixel_store import ImageStore, Pictures
from .seeds import stream_seed

AHEAD = 2  # batches

AnyConfig = RunConfig | ClassificationConfig


class Transform(Protocol):
    """What happens to each image of a batch; see :mod:`.transforms`."""

    random: bool  # whether it draws random numbers

    def check(self, sizes: Tensor) -> None:
        """Raise a ValueError if it cannot take images of these sizes, (N, 2)."""

    def __call__(self, pictures: Pictures, generator: torch.Generator) -> Tensor:
        """Images (B, C, H, W) in levels from 0 to 255; ``generator`` is on the CPU."""


class ModelInput(nn.Module):
    """Normalises levels from 0 to 255 as the weights of the trunk expect: ``level / divisor - offset``, float32."""

    divisor: Tensor
    offset: Tensor

    def __init__(self, normalization: Normalization | None, device: torch.device) -> None:
        super().__init__()
        scale, mean, std = 127.5, [1.0], [1.0]
        if normalization is not None:
            scale, mean, std = normalization.scale, normalization.mean, normalization.std
        per_channel = torch.tensor([mean, std], dtype=torch.float64)[:, :, None, None]
        self.register_buffer("divisor", (scale * per_channel[1]).float().to(device), persistent=False)
        self.register_buffer("offset", (per_channel[0] / per_channel[1]).float().to(device), persistent=False)
        self.reverse = normalization is not None and normalization.bgr

    def forward(self, levels: Tensor) -> Tensor:
        levels = levels.flip(1) if self.reverse else levels
        planar = levels.to(torch.float32, memory_format=torch.contiguous_format)
        return planar.div(self.divisor).sub_(self.offset)


class StoredImages(Dataset):
    """Images of a data set, ready for the trunk, and their labels, a batch at a time.

    Args:
        store: pixels of the data set.
        rows: of the images in the data set, (N,).
        labels: (N,).
        transform: of each image.
        model_input: normalisation.
        seed: of the run; the random numbers of an epoch depend on it and on the number of the epoch.

    Shapes:
        positions (B,) -> (B, C, H, W), (B,), on the store's device
    """

    def __init__(
        self,
        store: ImageStore,
        rows: np.ndarray,
        labels: np.ndarray,
        transform: Transform,
        model_input: ModelInput,
        seed: int,
    ) -> None:
        transform.check(store.sizes[rows])
        self.store = store
        self.rows = rows
        self.labels = torch.from_numpy(labels).long().to(store.device)
        self.transform = transform
        self.model_input = model_input
        self.seed = seed
        self.generator = torch.Generator()

    def __len__(self) -> int:
        return len(self.rows)

    def start_epoch(self, epoch: int) -> None:
        self.generator.manual_seed(stream_seed(self.seed, "image augmentation", epoch))

    def __getitems__(self, positions: Tensor | list[int]) -> tuple[Tensor, Tensor]:
        """A batch; PyTorch's DataLoader calls this method. See :func:`keep_batch`."""
        index = np.asarray(positions)
        levels = self.transform(self.store.pictures(self.rows[index]), self.generator)
        return self.model_input(levels), self.labels[to_device(torch.from_numpy(index), self.labels.device)]

    def ahead(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The same batches, prefetched by a thread if pixels have to be copied to the device.

        Not by a thread where the transform draws from PyTorch's shared generator, from which the training draws, too.
        """
        shared = getattr(self.transform, "shared_generator", False)
        return iter(batches) if self.store.is_at_hand or shared else read_ahead(batches)


def training_images(
    config: AnyConfig, store: ImageStore | FeatureStore, rows: np.ndarray, labels: np.ndarray
) -> StoredImages | StoredFeatures:
    """Training images, with the transform ``protocol.train_images``.

    Args:
        config: of the run.
        store: pixels or features of the data set.
        rows: of the images in the data set, (N,).
        labels: from 0 to C - 1, (N,).

    Raises:
        UserError: the transform does not exist or cannot take these images.
    """
    if isinstance(store, FeatureStore):
        return StoredFeatures(store, rows, labels, config.seed)
    return _images(config, "train_images", store, rows, labels)


def eval_images(
    config: AnyConfig, store: ImageStore | FeatureStore, rows: np.ndarray, labels: np.ndarray
) -> StoredImages | StoredFeatures:
    """Evaluated images, with the transform ``protocol.eval_images``.

    Args:
        config: of the run.
        store: pixels of the data set.
        rows: of the images in the data set, (N,).
        labels: of the data set, (N,).

    Raises:
        UserError: as :func:`training_images`, or the transform is random.
    """
    if isinstance(store, FeatureStore):
        return StoredFeatures(store, rows, labels, seed=None)
    images = _images(config, "eval_images", store, rows, labels)
    if images.transform.random:
        raise UserError(f"protocol.eval_images must not be random, but got {images.transform}: use CenterCrop")
    return images


def read_ahead(batches: Iterable[Any]) -> Iterator[Any]:
    """The same batches in the same order; a thread prefetches :data:`AHEAD` of them."""
    source, end = iter(batches), object()
    with ThreadPoolExecutor(1) as thread:
        coming = deque(thread.submit(next, source, end) for _ in range(AHEAD))
        while (batch := coming.popleft().result()) is not end:
            coming.append(thread.submit(next, source, end))
            yield batch


def keep_batch(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """A ``collate_fn`` for data sets that return whole batches."""
    return batch


def _images(config: AnyConfig, key: str, store: ImageStore, rows: np.ndarray, labels: np.ndarray) -> StoredImages:
    node = getattr(config.protocol, key)
    try:
        transform = cast(Transform, deferred(node)())
        model_input = ModelInput(config.trunk.normalization, store.device)
        return StoredImages(store, rows, labels, transform, model_input, config.seed)
    except (TypeError, ValueError) as error:
        raise UserError(f"protocol.{key}={node.get('_target_')}: {error}") from error
