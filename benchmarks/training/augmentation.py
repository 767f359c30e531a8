"""Transforms of torchvision, or others that take a tensor, for training images: colour, blur, erasing."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from .images import Transform
from .pixel_store import Pictures

LARGEST_SEED = 2**62


@dataclass(frozen=True)
class Augmented:
    """Crops or shifts images, and then changes each on its own by transforms such as torchvision's v2.

    The transforms draw from PyTorch's shared generator, and have no other. Each image gets a seed of its own from the
    draws of the epoch, with which the shared generator is set before the image's transforms and restored after the
    batch. So the draws of an image depend on the run's seed, the epoch, the step and its place in the batch alone: they
    are the same for a method and its baseline, and what the method draws itself stays as it was.

    Args:
        first: what makes images of one size, such as ``RandomResizedCrop``; see :mod:`.transforms`.
        then: each from (C, H, W), uint8, or float from 0 to 1 on an accelerator, to an image of the same shape of one
            of the two types.

    Example:
        >>> node = {"_target_": "torchvision.transforms.v2.ColorJitter", "brightness": 0.4}
        >>> # protocol.train_images={_target_: ..., first: {_target_: ...RandomShift, max_shift: 0.1}, then: [node]}
    """

    first: Transform
    then: Sequence[Callable[[Tensor], Tensor]]
    random = True
    shared_generator = True  # other threads must not draw from it meanwhile

    def __post_init__(self) -> None:
        for name, part in (("first", self.first), *(("then", part) for part in _listed(self.then))):
            if not callable(part):
                raise ValueError(f"{name} must be given as {{_target_: ...}}, but got {part!r}")
        if not hasattr(self.first, "check"):
            raise ValueError(
                "first must be one of benchmarks.training.transforms, which makes images of one size, but got "
                f"{type(self.first).__name__}; put it into then"
            )

    def check(self, sizes: Tensor) -> None:
        """As of ``first``."""
        self.first.check(sizes)

    def __call__(self, pictures: Pictures, generator: torch.Generator) -> Tensor:
        """Images (B, C, H, W) in levels from 0 to 255."""
        images = self.first(pictures, generator)
        seeds = torch.randint(LARGEST_SEED, (len(images),), generator=generator).tolist()
        with _shared_draws(images.device) as set_seed:
            changed = []
            for image, seed in zip(images, seeds, strict=True):
                set_seed(seed)
                changed.append(self._changed(image))
        return torch.stack(changed)

    def _changed(self, image: Tensor) -> Tensor:
        found = image if image.dtype == torch.uint8 else image / 255
        for transform in self.then:
            found = transform(found)
            if not isinstance(found, Tensor) or found.shape != image.shape:
                got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
                raise UserError(
                    f"protocol.train_images.then: {type(transform).__name__} makes {got} of an image of shape "
                    f"{tuple(image.shape)}, but must keep its shape; sizes are for protocol.train_images.first"
                )
        return found if found.dtype == torch.uint8 else 255 * found.float().clamp(0, 1)


def _listed(then: Any) -> Sequence[Any]:
    if not isinstance(then, (list, tuple)) or not then:
        raise ValueError(f"then must be a list of one or more transforms, but got {then!r}")
    return then


@contextmanager
def _shared_draws(device: torch.device) -> Iterator[Callable[[int], object]]:
    """A function that seeds the shared generators of CPU and device, whose states are restored at the end."""
    accelerated = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if accelerated else []):
        # torch.manual_seed takes milliseconds without a CUDA device
        yield torch.manual_seed if accelerated else torch.default_generator.manual_seed
