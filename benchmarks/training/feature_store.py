"""Features in the place of images, standardised once and handed out a batch at a time."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from benchmarks.data.features import FeatureArrays
from benchmarks.training.seeds import stream_seed
from pml_aug.to_device import to_device

ROWS = 8192  # read at a time


class FeatureStore:
    """All features of a data set on the device, standardised by statistics of the training rows.

    Args:
        data: features.
        learned: training rows, (M,); mean and standard deviation are of their evaluated features.
        device: of the models.

    Attributes:
        values: (N, 1 + V, F), float32; V is 0 where there are no augmented views.
        mean, scale: of each feature, (F,), float64: what it was standardised by.
    """

    def __init__(self, data: FeatureArrays, learned: np.ndarray, device: torch.device) -> None:
        features = data.images
        assert isinstance(features, np.ndarray)
        views = features[:, None] if features.ndim == 2 else features
        mean, scale = np.zeros(data.channels), np.ones(data.channels)
        if data.standardize:
            mean, scale = _statistics(views, learned)
        parts = [
            torch.from_numpy(((np.asarray(views[start : start + ROWS]) - mean) / scale).astype(np.float32)).to(device)
            for start in range(0, len(views), ROWS)
        ]
        self.values = torch.cat(parts)
        self.mean, self.scale = mean, scale
        self.device = device

    def __str__(self) -> str:
        return f"{self.values.nbytes / 1e9:.2f} GB of features are kept on {self.device}"


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
        self.rows = torch.from_numpy(rows).to(store.device)
        self.labels = torch.from_numpy(labels).long().to(store.device)
        self.seed = seed
        self.values = store.values[self.rows, 0]

    def __len__(self) -> int:
        return len(self.rows)

    def start_epoch(self, epoch: int) -> None:
        """Draw one of the augmented views of each row, if there are any."""
        views = self.store.values.shape[1] - 1
        if views == 0 or self.seed is None:
            return
        generator = torch.Generator().manual_seed(stream_seed(self.seed, "image augmentation", epoch))
        drawn = 1 + torch.randint(views, (len(self),), generator=generator)
        self.values = self.store.values[self.rows, drawn.to(self.store.device)]

    def __getitems__(self, positions: Tensor | list[int]) -> tuple[Tensor, Tensor]:
        """A batch, for PyTorch's DataLoader."""
        index = to_device(torch.as_tensor(positions), self.store.device)
        return self.values[index], self.labels[index]

    def ahead(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The same batches: there is nothing to read ahead."""
        return iter(batches)


def _statistics(views: np.ndarray, learned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column, (F,), float64; 1 for a column that the training rows do not move."""
    blocks = [learned[start : start + ROWS] for start in range(0, len(learned), ROWS)]
    mean = sum(views[rows, 0].astype(np.float64).sum(axis=0) for rows in blocks) / len(learned)
    squares = sum(((views[rows, 0].astype(np.float64) - mean) ** 2).sum(axis=0) for rows in blocks)
    scale = np.sqrt(squares / len(learned))
    return mean, np.where(scale > 1e-7 * np.maximum(np.abs(mean), 1e-30), scale, 1.0)
