"""Data sets held in memory, handed out a whole batch at a time."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..seeds import stream_seed


@dataclass(frozen=True)
class RandomShift:
    """Each training image moved by a random whole number of pixels: see :class:`ShiftedImages`."""

    max_shift: float  # largest move, as a part of the image's side, each way

    def __post_init__(self) -> None:
        if not 0 <= self.max_shift < 1:
            raise ValueError(f"max_shift must be at least 0 and below 1, but got {self.max_shift}")


@dataclass(frozen=True)
class Whole:
    """Each image as it is."""


class MemoryImages(Dataset):
    """Images as float32 in [-1, 1] with their labels.

    Args:
        images: (N, H, W, C), uint8.
        labels: (N,), integers.
        device: where the images are kept.

    Shapes:
        rows (B,) -> (B, C, H, W), (B,)
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, device: torch.device) -> None:
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(device)
        self.labels = torch.from_numpy(labels).long()

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, rows: list[int]) -> tuple[Tensor, Tensor]:
        """What PyTorch's DataLoader asks for when it wants a batch: see :func:`keep_batch`."""
        return self.images[rows].float() / 127.5 - 1, self.labels[rows]


class ShiftedImages(MemoryImages):
    """The same, each image moved by its own random whole number of pixels, the border repeated.

    The shifts come from a generator that starts anew in each epoch, from the run's seed and the epoch's number.

    Args:
        max_shift: largest move, as a part of the image's side, each way.
        seed: the run's.
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, device: torch.device, max_shift: float, seed: int
    ) -> None:
        super().__init__(images, labels, device)
        self.max_pixels = round(max_shift * min(self.images.shape[2:]))
        self.seed = seed
        self.generator = torch.Generator()

    def start_epoch(self, epoch: int) -> None:
        self.generator.manual_seed(stream_seed(self.seed, "image augmentation", epoch))

    def __getitems__(self, rows: list[int]) -> tuple[Tensor, Tensor]:
        images, labels = super().__getitems__(rows)
        moves = torch.randint(2 * self.max_pixels + 1, (2, len(rows)), generator=self.generator).to(images.device)
        return shift(images, moves - self.max_pixels), labels


def shift(images: Tensor, moves: Tensor) -> Tensor:
    """Each image moved by (down, right) pixels; the border pixels fill what becomes free.

    Shapes:
        (B, C, H, W), (2, B) -> (B, C, H, W)

    Example:
        >>> shift(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.tensor([[0], [1]]))
        tensor([[[[1., 1.], [3., 3.]]]])
    """
    height, width = images.shape[2:]
    rows = (torch.arange(height, device=images.device) - moves[0, :, None]).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) - moves[1, :, None]).clamp(0, width - 1)
    image = torch.arange(len(images), device=images.device)[:, None, None]
    return images.movedim(1, -1)[image, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def keep_batch(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """A ``collate_fn`` for batches that are batches already."""
    return batch
