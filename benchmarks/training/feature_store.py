"""Features in the place of images, standardised and handed out a batch at a time."""

from collections.abc import Iterable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pml_aug.to_device import to_device

from ..data.feature_arrays import FeatureArrays
from ..data.features import rows_at_once
from .pixel_store import LARGEST_SHARE
from .seeds import stream_seed

HELD_AT_MOST = 2**30  # bytes of standardised features that a training keeps in the host's memory


class FeatureStore:
    """The features of a data set, standardised by statistics of the training rows.

    Few features are standardised once and kept on the device. Many stay where they are, in memory or in a mapped file
    and in their own precision, and each batch is read and standardised when it is needed; the numbers are the same.

    Args:
        data: features.
        learned: training rows, (M,); mean and standard deviation are of their evaluated features.
        device: of the models.
        held: whether to keep all of them; None does so up to :data:`HELD_AT_MOST` on the CPU, and on CUDA if they take
            at most half of the free memory for this training.
        per_gpu: trainings that share the device.

    Attributes:
        values: (N, 1 + V, F), float32; V is 0 where there are no augmented views. None if they are not held.
        mean, scale: of each feature, (F,), float64: what it was standardised by.
        num_views: V.
    """

    def __init__(
        self,
        data: FeatureArrays,
        learned: np.ndarray,
        device: torch.device,
        held: bool | None = None,
        per_gpu: int = 1,
    ) -> None:
        self.features, self.device = data.array, device
        self.num_views = 0 if self.features.ndim == 2 else self.features.shape[1] - 1
        self.mean, self.scale = np.zeros(data.channels), np.ones(data.channels)
        if data.standardize:
            self.mean, self.scale = self._statistics(learned)
        self.bytes = 4 * int(np.prod(self.features.shape, dtype=np.int64))
        if held is None:
            most: float = HELD_AT_MOST
            if device.type == "cuda":
                most = LARGEST_SHARE * torch.cuda.mem_get_info(device)[0] / per_gpu
            held = self.bytes <= most
        self.values = self._all() if held else None

    def __str__(self) -> str:
        placed = f"are kept on {self.device}" if self.values is not None else "are read a batch at a time"
        return f"{self.bytes / 1e9:.2f} GB of features {placed}"

    def read(self, rows: np.ndarray, views: np.ndarray | int = 0) -> Tensor:
        """Standardised features of some rows, on the device.

        Args:
            rows: (B,).
            views: of each row, (B,), or one of all of them; 0 for the evaluated features.

        Shapes:
            (B,), (B,) -> (B, F), float32
        """
        read = self.features[rows] if self.features.ndim == 2 else self.features[rows, views]
        return to_device(self._standardized(read), self.device)

    def _all(self) -> Tensor:
        rows = rows_at_once(self.features)
        blocks = (self.features[start : start + rows] for start in range(0, len(self.features), rows))
        values = torch.cat([self._standardized(block).to(self.device) for block in blocks])
        return values[:, None] if values.ndim == 2 else values

    def _standardized(self, features: np.ndarray) -> Tensor:
        # row by row in memory, whatever the layout of what was read: products of matrices round by it
        return torch.from_numpy(((features - self.mean) / self.scale).astype(np.float32, order="C"))

    def _statistics(self, learned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each column, (F,), float64; 1 for one that the training rows do not move."""
        rows = rows_at_once(self.features)
        blocks = [learned[start : start + rows] for start in range(0, len(learned), rows)]

        def evaluated(rows: np.ndarray) -> np.ndarray:
            return (self.features[rows] if self.features.ndim == 2 else self.features[rows, 0]).astype(np.float64)

        mean = sum(evaluated(block).sum(axis=0) for block in blocks) / len(learned)
        squares = sum(((evaluated(block) - mean) ** 2).sum(axis=0) for block in blocks)
        scale = np.sqrt(squares / len(learned))
        return mean, np.where(scale > 1e-7 * np.maximum(np.abs(mean), 1e-30), scale, 1.0)


def feature_store_of(data: FeatureArrays, learned: np.ndarray, device: torch.device, per_gpu: int = 1) -> FeatureStore:
    """The store of a data set for these training rows; the last one is kept as long as the data set is."""
    key = (learned.tobytes(), device)
    known = _STORES.get(data)
    if known is None or known[0] != key:
        known = _STORES[data] = (key, FeatureStore(data, learned, device, per_gpu=per_gpu))
    return known[1]


_STORES: "WeakKeyDictionary[FeatureArrays, tuple[tuple[bytes, torch.device], FeatureStore]]" = WeakKeyDictionary()


class StoredFeatures(Dataset):
    """Some rows of the features with their labels; a batch at a time.

    Args:
        store: of the data set.
        rows: in the data set, (N,).
        labels: (N,).
        seed: of the run, from which each epoch's views are drawn; None for the evaluated features.

    Shapes:
        positions (B,) -> (B, F), (B,), on the store's device
    """

    def __init__(self, store: FeatureStore, rows: np.ndarray, labels: np.ndarray, seed: int | None) -> None:
        self.store = store
        self.rows = rows
        self.labels = torch.from_numpy(labels).long().to(store.device)
        self.seed = seed
        self._choose(torch.zeros(len(rows), dtype=torch.long))

    def __len__(self) -> int:
        return len(self.rows)

    def start_epoch(self, epoch: int) -> None:
        """Draw one of the augmented views of each row, if there are any."""
        if self.store.num_views == 0 or self.seed is None:
            return
        generator = torch.Generator().manual_seed(stream_seed(self.seed, "image augmentation", epoch))
        self._choose(1 + torch.randint(self.store.num_views, (len(self),), generator=generator))

    def _choose(self, views: Tensor) -> None:
        """Take one view of each row, (N,), until the next choice."""
        self.views = views.numpy()
        self.values = None  # the chosen features, (N, F), if the store holds them
        if self.store.values is not None:
            places = (torch.from_numpy(self.rows), views)
            self.values = self.store.values[tuple(place.to(self.store.device) for place in places)]

    def __getitems__(self, positions: Tensor | list[int]) -> tuple[Tensor, Tensor]:
        """A batch, for PyTorch's DataLoader."""
        index = torch.as_tensor(positions)
        there = to_device(index, self.store.device)
        if self.values is not None:
            return self.values[there], self.labels[there]
        return self.store.read(self.rows[index.numpy()], self.views[index.numpy()]), self.labels[there]

    def ahead(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The same batches, without reading ahead."""
        return iter(batches)
