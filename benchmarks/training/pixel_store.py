"""Pixels of a data set during training: on the device if they fit, else in memory or in a mapped file."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from pml_aug.to_device import to_device

from ..data import ImageArrays
from ..data.ragged import RaggedImages

LARGEST_SHARE = 0.5  # of the free device memory that a training may use; the rest is for the model
READERS = 4  # threads that copy one batch, to overlap waits for the disk
UPLOADED_AT_ONCE = 2**28  # bytes


class Pictures(NamedTuple):
    """A batch of images, of one size or several.

    After the last image follow at least as many arbitrary bytes as the longest row of the data set has, so that rows of
    a narrow image may be read at the length of those of a wide one.
    """

    pixels: Tensor  # flat, uint8, on the device; rows, columns, channels of each image
    starts: Tensor  # (B,), long, on the CPU: offset of each image in `pixels`
    sizes: Tensor  # (B, 2), long, on the CPU: height and width
    channels: int


class ImageStore:
    """All images of a data set, read a batch at a time; the pixels are the same wherever they are kept.

    Args:
        images: of the data set.
        device: of the batches.
        on_device: whether to keep all pixels on the device; None does so on CUDA if they take at most half of the free
            memory for this training. Otherwise they stay in memory or in a mapped file, and each batch is copied: on
            CUDA through pinned memory, asynchronously.
        per_gpu: trainings that share the device, each with its own copy of the images; they may start at the same time
            and see the same free memory.
    """

    def __init__(
        self,
        images: np.ndarray | RaggedImages,
        device: torch.device,
        on_device: bool | None = None,
        per_gpu: int = 1,
    ) -> None:
        ragged = images if isinstance(images, RaggedImages) else _as_ragged(images)
        self.device = device
        self.channels = ragged.channels
        self.sizes = torch.from_numpy(ragged.sizes)
        self.lengths = ragged.sizes.prod(axis=1) * self.channels
        self.longest_row = int(ragged.sizes[:, 1].max()) * self.channels
        self.source, self.offsets = ragged.pixels, ragged.offsets
        self.bytes = int(self.lengths.sum())
        self.free_bytes = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
        self.on_device = self.bytes <= LARGEST_SHARE * self.free_bytes / per_gpu if on_device is None else on_device
        self.readers = ThreadPoolExecutor(READERS) if device.type == "cuda" else None
        if self.on_device:
            self.starts = torch.from_numpy(np.cumsum(self.lengths) - self.lengths)
            self.pixels = self._upload()

    @property
    def is_at_hand(self) -> bool:
        """Whether a batch needs no copy from host to device."""
        return self.on_device or self.device.type == "cpu"

    def __str__(self) -> str:
        if self.device.type == "cpu":
            return f"{self.bytes / 1e9:.2f} GB of images stay in host memory"
        placed = "are kept on" if self.on_device else "do not fit: each batch is copied to"
        return f"{self.bytes / 1e9:.2f} GB of images {placed} {self.device} ({self.free_bytes / 1e9:.1f} GB free)"

    def pictures(self, rows: Sequence[int]) -> Pictures:
        """These images, on the device."""
        index = np.asarray(rows)
        sizes = self.sizes[index]
        if self.on_device:
            return Pictures(self.pixels, self.starts[index], sizes, self.channels)
        copied, starts = self._copy(index)
        return Pictures(to_device(copied, self.device), starts, sizes, self.channels)

    def _copy(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """The concatenated pixels of these images, on the host, and the offset of each."""
        lengths, sources = self.lengths[rows], self.offsets[rows]
        starts = np.cumsum(lengths) - lengths
        pinned = self.device.type == "cuda"
        copied = torch.empty(int(lengths.sum()) + self.longest_row, dtype=torch.uint8, pin_memory=pinned)
        target = copied.numpy()

        def copy(pictures: slice) -> None:
            spans = zip(*(part[pictures].tolist() for part in (starts, sources, lengths)), strict=True)
            for start, source, length in spans:
                target[start : start + length] = self.source[source : source + length]

        if self.readers is None:
            copy(slice(None))
        else:
            list(self.readers.map(copy, (slice(first, None, READERS) for first in range(READERS))))
        return copied, torch.from_numpy(starts)

    def _upload(self) -> Tensor:
        pixels = torch.empty(self.bytes + self.longest_row, dtype=torch.uint8, device=self.device)
        parts = np.cumsum(self.lengths) // UPLOADED_AT_ONCE
        for rows in np.split(np.arange(len(parts)), np.flatnonzero(np.diff(parts)) + 1):
            copied, _ = self._copy(rows)
            start = int(self.starts[rows[0]])
            pixels[start : start + len(copied)] = copied.to(self.device)
        return pixels


def store_of(data: ImageArrays, device: torch.device, per_gpu: int = 1, on_device: bool | None = None) -> ImageStore:
    """The store of a data set on this device; cached per process as long as the data set is."""
    store = _STORES.get(data)
    if store is None or store.device != device:
        store = _STORES[data] = ImageStore(data.images, device, on_device, per_gpu)
    return store


_STORES: "WeakKeyDictionary[ImageArrays, ImageStore]" = WeakKeyDictionary()


def _as_ragged(images: np.ndarray) -> RaggedImages:
    count, height, width, channels = images.shape
    offsets = np.arange(count, dtype=np.int64) * (height * width * channels)
    sizes = np.tile(np.array([[height, width]], dtype=np.int64), (count, 1))
    return RaggedImages(np.ascontiguousarray(images).reshape(-1), offsets, sizes, channels)
