"""The images of a training and of its evaluation, made a whole batch at a time where the model is."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from benchmarks.config.compose import RunConfig
from benchmarks.config.schema import Normalization
from benchmarks.config.targets import deferred
from benchmarks.errors import UserError
from benchmarks.training.crops import CenterCrop, RandomResizedCrop
from benchmarks.training.pixel_store import ImageStore, Pictures
from benchmarks.training.seeds import stream_seed
from benchmarks.training.shifts import RandomShift, Whole
from pml_aug.to_device import to_device

__all__ = ["CenterCrop", "RandomResizedCrop", "RandomShift", "Whole"]  # the names that configs give

AHEAD = 2  # batches


class Transform(Protocol):
    """What happens to each image of a batch."""

    random: bool  # whether it draws numbers

    def check(self, sizes: Tensor) -> None:
        """Refuse pictures of these sizes, (N, 2), with a ValueError."""

    def __call__(self, pictures: Pictures, generator: torch.Generator) -> Tensor:
        """(B, C, H, W) in levels from 0 to 255; every random number from the generator, which is the host's."""


class ModelInput:
    """Levels from 0 to 255 as the trunk's weights expect them: ``level / divisor - offset``, float32."""

    def __init__(self, normalization: Normalization | None, device: torch.device) -> None:
        scale, mean, std = 127.5, [1.0], [1.0]
        if normalization is not None:
            scale, mean, std = normalization.scale, normalization.mean, normalization.std
        per_channel = torch.tensor([mean, std], dtype=torch.float64)[:, :, None, None]
        self.divisor = (scale * per_channel[1]).float().to(device)
        self.offset = (per_channel[0] / per_channel[1]).float().to(device)
        self.reverse = normalization is not None and normalization.bgr

    def __call__(self, levels: Tensor) -> Tensor:
        levels = levels.flip(1) if self.reverse else levels
        planar = levels.to(torch.float32, memory_format=torch.contiguous_format)
        return planar.div(self.divisor).sub_(self.offset)


class StoredImages(Dataset):
    """Some of a data set's images, ready for the trunk, with their labels; a batch at a time.

    Args:
        store: of the data set.
        rows: of the images in the data set, (N,).
        labels: (N,).
        transform: of each image.
        model_input: from levels to what the trunk gets.
        seed: the run's; the transform's random numbers start anew in each epoch, from it and the epoch's number.

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

    def __getitems__(self, positions: list[int]) -> tuple[Tensor, Tensor]:
        """What PyTorch's DataLoader asks for when it wants a batch: see :func:`keep_batch`."""
        index = np.asarray(positions)
        levels = self.transform(self.store.pictures(self.rows[index]), self.generator)
        return self.model_input(levels), self.labels[to_device(torch.from_numpy(index), self.labels.device)]

    def ahead(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The same batches, read ahead by a thread where pixels have to be copied to the device."""
        return iter(batches) if self.store.is_at_hand else read_ahead(batches)


def training_images(config: RunConfig, store: ImageStore, rows: np.ndarray, labels: np.ndarray) -> StoredImages:
    """The images that a training learns from.

    Args:
        rows: of the images in the data set, (N,).
        labels: as the loss counts them, (N,).

    Raises:
        UserError: if the protocol's transform does not exist or cannot take these images.
    """
    return _images(config, "train_images", store, rows, labels)


def eval_images(config: RunConfig, store: ImageStore, rows: np.ndarray, labels: np.ndarray) -> StoredImages:
    """Images as the model is evaluated on them.

    Args:
        rows: of the images in the data set, (N,).
        labels: the data set's, (N,).

    Raises:
        UserError: as :func:`training_images`, and if the transform is random.
    """
    images = _images(config, "eval_images", store, rows, labels)
    if images.transform.random:
        raise UserError(f"protocol.eval_images must not be random, but got {images.transform}: use CenterCrop or Whole")
    return images


def read_ahead(batches: Iterable[Any]) -> Iterator[Any]:
    """The same batches in the same order, the next :data:`AHEAD` of them made by a thread meanwhile."""
    source, end = iter(batches), object()
    with ThreadPoolExecutor(1) as thread:
        coming = deque(thread.submit(next, source, end) for _ in range(AHEAD))
        while (batch := coming.popleft().result()) is not end:
            coming.append(thread.submit(next, source, end))
            yield batch


def keep_batch(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """A ``collate_fn`` for batches that are batches already."""
    return batch


def _images(config: RunConfig, key: str, store: ImageStore, rows: np.ndarray, labels: np.ndarray) -> StoredImages:
    node = getattr(config.protocol, key)
    try:
        transform = cast(Transform, deferred(node)())
        model_input = ModelInput(config.trunk.normalization, store.device)
        return StoredImages(store, rows, labels, transform, model_input, config.seed)
    except (TypeError, ValueError) as error:
        raise UserError(f"protocol.{key}={node.get('_target_')}: {error}") from error
