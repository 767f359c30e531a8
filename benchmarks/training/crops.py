"""Parts of pictures of any size, as squares: a random one for training, the middle for evaluation."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.training.pixel_store import Pictures
from benchmarks.training.resampling import Boxes, resample, windows
from pml_aug.to_device import to_device

TRIES = 10  # draws of a box that may be larger than the picture, before the largest centred one is taken


@dataclass(frozen=True)
class RandomResizedCrop:
    """A random box of each picture, resampled to a square, and mirrored at random.

    A box's share of the picture's area and the logarithm of its aspect ratio are uniform; of ten boxes the first that
    is no larger than the picture counts, its place uniform; else the largest centred one within the range of ratios.
    That is the distribution of torchvision's ``RandomResizedCrop``; numbers are drawn in another order. The pixels are
    Pillow's, antialiased, within one level of 255: see :mod:`.resampling`.

    Source: Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 6.
    """

    size: int = 227  # pixels a side
    scale: tuple[float, float] = (0.16, 1.0)  # share of the area, from and to
    ratio: tuple[float, float] = (0.75, 1.3333)  # width to height, from and to
    flip: float = 0.5  # how likely left and right are patched
    random = True

    def __post_init__(self) -> None:
        _check_size(self.size)
        for name, largest in (("scale", 1.0), ("ratio", math.inf)):
            low, high = getattr(self, name)
            if not 0 < low <= high <= largest:
                raise ValueError(f"{name} must go up from above 0 to at most {largest:g}, but got {low} to {high}")
        if not 0 <= self.flip <= 1:
            raise ValueError(f"flip must be between 0 and 1, but got {self.flip}")

    def check(self, sizes: Tensor) -> None:
        """Every picture will do."""

    def __call__(self, pictures: Pictures, generator: torch.Generator) -> Tensor:
        return resample(pictures, self.boxes(pictures.sizes, generator), self.size)

    def boxes(self, sizes: Tensor, generator: torch.Generator) -> Boxes:
        """Where to crop pictures of these sizes, (B, 2); 23 numbers are drawn for each, whatever its size."""
        drawn = torch.rand(len(sizes), 2 * TRIES + 3, generator=generator, dtype=torch.float64)
        height, width = sizes.double().unsqueeze(2).unbind(dim=1)  # (B, 1)
        (smallest, largest), (narrow, wide) = self.scale, self.ratio
        area = height * width * (smallest + (largest - smallest) * drawn[:, :TRIES])
        ratio = torch.exp(math.log(narrow) + math.log(wide / narrow) * drawn[:, TRIES : 2 * TRIES])
        tried_width, tried_height = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
        fits = (tried_width >= 1) & (tried_width <= width) & (tried_height >= 1) & (tried_height <= height)
        # behind the tries, one that always fits
        whole_height = torch.minimum(height, (width / narrow).round().clamp(min=1))
        whole_width = torch.minimum(width, (height * wide).round().clamp(min=1))
        first = torch.cat([fits, torch.ones_like(fits[:, :1])], dim=1).to(torch.uint8).argmax(dim=1, keepdim=True)
        box_height = torch.cat([tried_height, whole_height], dim=1).gather(1, first)
        box_width = torch.cat([tried_width, whole_width], dim=1).gather(1, first)
        room = torch.cat([height - box_height, width - box_width], dim=1)
        place = torch.where(first < TRIES, (drawn[:, 2 * TRIES : -1] * (room + 1)).floor(), (room / 2).floor())
        mirrored = drawn[:, -1] < self.flip
        columns = (place[:, 0], place[:, 1], box_height[:, 0], box_width[:, 0], mirrored)
        return Boxes(*(column.long() for column in columns))


@dataclass(frozen=True)
class CenterCrop:
    """The middle square of each picture, pixel by pixel; where torchvision's ``CenterCrop`` takes it."""

    size: int  # pixels a side
    random = False

    def __post_init__(self) -> None:
        _check_size(self.size)

    def check(self, sizes: Tensor) -> None:
        smallest = int(sizes.min())
        if smallest < self.size:
            raise ValueError(
                f"size must be at most the pictures' shortest side, {smallest} pixels, but got {self.size}: choose a "
                "smaller crop or a larger data.image_size"
            )

    def __call__(self, pictures: Pictures, generator: torch.Generator) -> Tensor:
        channels = pictures.channels
        margin = ((pictures.sizes - self.size) / 2).round().long()  # halves to the even neighbour, as Python rounds
        stride = pictures.sizes[:, 1] * channels
        first = pictures.starts + margin[:, 0] * stride + margin[:, 1] * channels
        first, stride = to_device(torch.stack([first, stride]), pictures.pixels.device)
        row = torch.arange(self.size, device=stride.device)
        levels = windows(pictures.pixels, first[:, None] + row * stride[:, None], self.size * channels)
        return levels.view(-1, self.size, self.size, channels).movedim(-1, 1)


def _check_size(size: int) -> None:
    if size < 1:
        raise ValueError(f"size must be at least 1, but got {size}")
