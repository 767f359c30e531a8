"""Images of several sizes in one flat buffer."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class RaggedImages:
    """Images of several sizes, whose buffer may be a memory-mapped file larger than the memory.

    Example:
        >>> images = RaggedImages.of([np.zeros((2, 3, 1), np.uint8), np.ones((4, 2, 1), np.uint8)])
        >>> len(images), images.one(1).shape, images[1:].sizes.tolist()
        (2, (4, 2, 1), [[4, 2]])
    """

    pixels: np.ndarray  # flat, uint8; an array or a memory map; images in C order, one after the other
    offsets: np.ndarray  # (N,), int64: start of each image in `pixels`
    sizes: np.ndarray  # (N, 2), int64: height and width
    channels: int  # 1 (grey) or 3 (RGB)
    known_digests: np.ndarray | None = None  # (N, 32), uint8, sha256 per image, where it is known already

    @classmethod
    def of(cls, images: list[np.ndarray]) -> "RaggedImages":
        """A copy of (H, W, C) images, uint8, that have the same C."""
        sizes = np.array([image.shape[:2] for image in images], dtype=np.int64).reshape(-1, 2)
        channels = images[0].shape[2]
        pixels = np.concatenate([image.reshape(-1) for image in images])
        return cls(pixels, starts(sizes, channels), sizes, channels)

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, rows: np.ndarray | slice) -> "RaggedImages":
        """These images over the same buffer, without a copy.

        Args:
            rows: indices, a mask or a slice. For the pixels of a single image see :meth:`one`.
        """
        if not isinstance(rows, slice) and np.ndim(rows) == 0:
            raise TypeError(f"rows must be an array of indices, a mask or a slice, but got {rows}; use one({rows})")
        digests = None if self.known_digests is None else self.known_digests[rows]
        return RaggedImages(self.pixels, self.offsets[rows], self.sizes[rows], self.channels, digests)

    def one(self, row: int) -> np.ndarray:
        """(H, W, C), a view: the pixels of one image."""
        height, width = self.sizes[row].tolist()
        start = int(self.offsets[row])
        flat = self.pixels[start : start + height * width * self.channels]
        return flat.reshape(height, width, self.channels)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.one(row) for row in range(len(self)))

    @cached_property
    def digests(self) -> np.ndarray:
        """(N, 32), uint8: sha256 of the pixels of each image."""
        if self.known_digests is not None:
            return self.known_digests
        return np.stack([np.frombuffer(digest(image), dtype=np.uint8) for image in self])


def starts(sizes: np.ndarray, channels: int) -> np.ndarray:
    """(N, 2) -> (N,), int64: offsets of images of these sizes that follow each other in a buffer."""
    lengths = sizes.astype(np.int64).prod(axis=1) * channels
    return np.cumsum(lengths) - lengths


def digest(image: np.ndarray) -> bytes:
    """sha256 of an image's pixels."""
    return hashlib.sha256(np.ascontiguousarray(image).data).digest()
