"""The labelled images of a training, independent of the kind of data set."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from PIL import Image, ImageOps

from .ragged import RaggedImages

TRAIN, TEST, QUERY, GALLERY = range(4)  # values of a partition: what an image is used for


@dataclass(frozen=True, eq=False)
class ImageArrays:
    """Images with their classes and, where known, their sources and parts."""

    name: str
    images: np.ndarray | RaggedImages  # (N, H, W, C), uint8, or N of several sizes; C is 1 (grey) or 3 (RGB)
    labels: np.ndarray  # (N,), int64, 0 to num_classes - 1
    class_names: list[str]  # one per class
    source: np.ndarray | None  # (N,), int64: index of the font face or vendor that drew the image
    source_names: list[str]  # one per source; empty where source is None
    partition: np.ndarray | None = None  # (N,), uint8: TRAIN, TEST, QUERY or GALLERY; None: the classes are halved

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (RGB)."""
        return self.images.channels if isinstance(self.images, RaggedImages) else self.images.shape[3]

    @property
    def image_size(self) -> int:
        """Height of the images; where sizes differ, the shortest side of all."""
        return int(self.images.sizes.min()) if isinstance(self.images, RaggedImages) else self.images.shape[1]

    @cached_property
    def content_hash(self) -> str:
        """sha256 of everything but the data set's name; the same on every platform.

        Images of several sizes enter as their sizes and sha256 digests, which the decode cache keeps.
        """
        digest = hashlib.sha256()
        if isinstance(self.images, RaggedImages):
            shape, contents = [len(self.images), "ragged", self.channels], [self.images.sizes, self.images.digests]
        else:
            shape, contents = [*self.images.shape], [self.images]
        names = {"shape": shape, "classes": self.class_names, "sources": self.source_names}
        digest.update(json.dumps(names).encode())
        for content in contents:
            digest.update(np.ascontiguousarray(content, dtype=content.dtype.newbyteorder("<")).data)
        digest.update(np.ascontiguousarray(self.labels, dtype="<i8").data)
        if self.source is not None:
            digest.update(np.ascontiguousarray(self.source, dtype="<i8").data)
        if self.partition is not None:
            digest.update(np.ascontiguousarray(self.partition, dtype=np.uint8).data)
        return digest.hexdigest()

    def with_classes(self, num_classes: int) -> "ImageArrays":
        """The images of ``num_classes`` classes, taken at even distances from the sorted ids and renumbered."""
        kept = spread_classes(num_classes, len(self.class_names))
        rows = np.flatnonzero(np.isin(self.labels, kept))
        return replace(
            self,
            images=self.images[rows],
            labels=np.searchsorted(kept, self.labels[rows]),
            class_names=[self.class_names[k] for k in kept],
            source=None if self.source is None else self.source[rows],
            partition=None if self.partition is None else self.partition[rows],
        )

    def resized(self, image_size: int) -> "ImageArrays":
        """The same with every image as a square of ``image_size`` pixels, see :func:`fit_square`."""
        if isinstance(self.images, np.ndarray) and self.images.shape[1:3] == (image_size, image_size):
            return self
        return replace(self, images=squares(self.images, image_size))


def spread_classes(num_classes: int, available: int) -> np.ndarray:
    """Ids of ``num_classes`` classes, at even distances among the ``available`` ones.

    Example:
        >>> spread_classes(4, 10).tolist()
        [0, 2, 5, 7]
    """
    if not 2 <= num_classes <= available:
        raise ValueError(
            f"data.num_classes must be between 2 and {available}, the number of classes, but got {num_classes}"
        )
    return np.arange(num_classes) * available // num_classes


def squares(images: np.ndarray | RaggedImages, image_size: int) -> np.ndarray:
    """(N, image_size, image_size, C): every image, see :func:`fit_square`."""
    channels = images.channels if isinstance(images, RaggedImages) else images.shape[3]
    fitted = empty_images((len(images), image_size, image_size, channels))
    for row, image in enumerate(images):
        square = fit_square(Image.fromarray(image[..., 0] if channels == 1 else image), image_size)
        fitted[row] = np.asarray(square).reshape(image_size, image_size, channels)
    return fitted


def empty_images(shape: tuple[int, ...]) -> np.ndarray:
    """An array for images, uint8, of which no value is set.

    Raises:
        ValueError: if the memory is too small.
    """
    try:
        return np.empty(shape, dtype=np.uint8)
    except (MemoryError, ValueError) as error:  # ValueError: larger than an array can be
        size = " x ".join(map(str, shape))
        raise ValueError(
            f"{size} bytes of images do not fit into memory; use a smaller data.image_size or fewer data.num_classes"
        ) from error


def fit_square(image: Image.Image, image_size: int) -> Image.Image:
    """The largest centred square of an image, resampled bilinearly with antialiasing."""
    return ImageOps.fit(image, (image_size, image_size), method=Image.Resampling.BILINEAR)


def require_two_images_a_class(
    labels: np.ndarray, class_names: Sequence[str], origin: str, single_images: bool = False
) -> None:
    """Refuse data in which a query has no right answer, or no wrong one.

    Args:
        labels: (N,), 0 to ``len(class_names) - 1``.
        class_names: one per class.
        origin: path of the data, for the message.
        single_images: whether classes of one image are wanted.

    Raises:
        ValueError: if there is one class only, or, unless wanted, a class has one image only; the message starts
            with ``origin``.
    """
    if len(class_names) < 2:
        raise ValueError(f"{origin}: found {len(class_names)} class, but comparing classes needs at least 2")
    counts = np.bincount(labels, minlength=len(class_names))
    lonely = [name for name, count in zip(class_names, counts, strict=True) if count == 1]
    if lonely and not single_images:
        listed = ", ".join(lonely[:5]) + (", ..." if len(lonely) > 5 else "")
        raise ValueError(
            f"{origin}: {len(lonely)} of {len(class_names)} classes have a single image ({listed}), so it has no "
            "neighbor to find; add images, leave these classes out, or set data.single_images=distractors (they are "
            "searched in the test, but are no queries) or data.single_images=train"
        )
