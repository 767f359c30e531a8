"""Pictures of one size, as they are or each moved a little."""

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.training.pixel_store import Pictures
from benchmarks.training.resampling import windows
from pml_aug.to_device import to_device


@dataclass(frozen=True)
class Whole:
    """Each picture as it is."""

    random = False

    def check(self, sizes: Tensor) -> None:
        _check_one_size(sizes)

    def __call__(self, pictures: Pictures, generator: torch.Generator) -> Tensor:
        return whole(pictures)


@dataclass(frozen=True)
class RandomShift:
    """Each picture moved by its own random whole number of pixels, the border repeated."""

    max_shift: float  # largest move, as a part of the picture's shorter side, each way
    random = True

    def __post_init__(self) -> None:
        if not 0 <= self.max_shift < 1:
            raise ValueError(f"max_shift must be at least 0 and below 1, but got {self.max_shift}")

    def check(self, sizes: Tensor) -> None:
        _check_one_size(sizes)

    def __call__(self, pictures: Pictures, generator: torch.Generator) -> Tensor:
        images = whole(pictures)
        most = round(self.max_shift * min(images.shape[2:]))
        moves = torch.randint(2 * most + 1, (2, len(images)), generator=generator) - most
        return shift(images, to_device(moves, images.device))


def whole(pictures: Pictures) -> Tensor:
    """Pictures of one size side by side.

    Shapes:
        B pictures -> (B, C, H, W), uint8
    """
    height, width = pictures.sizes[0].tolist()
    starts = to_device(pictures.starts, pictures.pixels.device)
    flat = windows(pictures.pixels, starts, height * width * pictures.channels)
    return flat.view(-1, height, width, pictures.channels).movedim(-1, 1)


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


def _check_one_size(sizes: Tensor) -> None:
    if not bool((sizes == sizes[0]).all()):
        raise ValueError(
            f"pictures must have one size, but go from {sizes.amin(dim=0).tolist()} to {sizes.amax(dim=0).tolist()} "
            "pixels: use RandomResizedCrop and CenterCrop, or set data.image_size to make squares of them"
        )
