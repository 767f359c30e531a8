"""What happens to each image before the trunk: nothing, a shift, or a crop."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pml_aug.to_device import to_device

from .pixel_store import Pictures
from .resampling import Boxes, resample, windows

TRIES = 10  # draws of a box that may be larger than the image, before the largest centred one is taken


@dataclass(frozen=True)
class Identity:
    """Leaves images of one size as they are."""

    random = False

    def check(self, sizes: Tensor) -> None:
        _check_one_size(sizes)

    def __call__(self, pictures: Pictures, generator: torch.Generator) -> Tensor:
        return whole(pictures)


@dataclass(frozen=True)
class RandomShift:
    """Moves each image of one size by its own random number of whole pixels; border pixels are repeated."""

    max_shift: float  # largest move in each direction, as a fraction of the shorter side, in [0, 1)
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


@dataclass(frozen=True)
class PaddedCrop:
    """Moves each image of one size as a random crop of it with a black border does, and mirrors it at random.

    This is torchvision's ``RandomCrop`` of the image's own size with ``padding``, and ``RandomHorizontalFlip``.
    """

    padding: int = 4  # pixels of border on each side, at least 0
    flip: float = 0.5  # probability of mirroring
    random = True

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise ValueError(f"padding must be at least 0, but got {self.padding}")
        if not 0 <= self.flip <= 1:
            raise ValueError(f"flip must be between 0 and 1, but got {self.flip}")

    def check(self, sizes: Tensor) -> None:
        _check_one_size(sizes)

    def __call__(self, pictures: Pictures, generator: torch.Generator) -> Tensor:
        images = whole(pictures)
        places = torch.randint(2 * self.padding + 1, (2, len(images)), generator=generator)
        mirrored = torch.rand(len(images), generator=generator) < self.flip
        device = images.device
        return padded_crop(images, self.padding, to_device(places, device), to_device(mirrored, device))


@dataclass(frozen=True)
class RandomResizedCrop:
    """Resamples a random box of each image to a square, and mirrors it at random.

    The share of the area and the logarithm of the aspect ratio of a box are uniform. The first of ten boxes that fits
    into the image is taken, at a uniform place; if none fits, the largest centred one within the range of ratios.
    This is the distribution of torchvision's ``RandomResizedCrop``, with the random numbers drawn in another order. The
    pixels are those of Pillow with antialiasing, up to rounding: see :mod:`.resampling`.

    Source: Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 6.
    """

    size: int = 227  # pixels per side
    scale: tuple[float, float] = (0.16, 1.0)  # smallest and largest share of the area
    ratio: tuple[float, float] = (0.75, 1.3333)  # smallest and largest ratio of width to height
    flip: float = 0.5  # probability of mirroring
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
        """Accept images of any size."""

    def __call__(self, pictures: Pictures, generator: torch.Generator) -> Tensor:
        return resample(pictures, self.boxes(pictures.sizes, generator), self.size)

    def boxes(self, sizes: Tensor, generator: torch.Generator) -> Boxes:
        """Boxes in images of these sizes, (B, 2); 23 numbers are drawn per image, whatever its size."""
        drawn = torch.rand(len(sizes), 2 * TRIES + 3, generator=generator, dtype=torch.float64)
        height, width = sizes.double().unsqueeze(2).unbind(dim=1)  # (B, 1)
        (smallest, largest), (narrow, wide) = self.scale, self.ratio
        area = height * width * (smallest + (largest - smallest) * drawn[:, :TRIES])
        ratio = torch.exp(math.log(narrow) + math.log(wide / narrow) * drawn[:, TRIES : 2 * TRIES])
        tried_width, tried_height = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
        fits = (tried_width >= 1) & (tried_width <= width) & (tried_height >= 1) & (tried_height <= height)
        # after the tries, one that always fits
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
    """Takes the middle square of each image, at the place of torchvision's ``CenterCrop``."""

    size: int  # pixels per side
    random = False

    def __post_init__(self) -> None:
        _check_size(self.size)

    def check(self, sizes: Tensor) -> None:
        smallest = int(sizes.min())
        if smallest < self.size:
            raise ValueError(
                f"size must be at most the shortest side of the images, {smallest} pixels, but got {self.size}: "
                "choose a smaller crop or a larger data.image_size"
            )

    def __call__(self, pictures: Pictures, generator: torch.Generator) -> Tensor:
        channels = pictures.channels
        margin = ((pictures.sizes - self.size) / 2).round().long()  # halves are rounded to even, as in Python
        stride = pictures.sizes[:, 1] * channels
        first = pictures.starts + margin[:, 0] * stride + margin[:, 1] * channels
        first, stride = to_device(torch.stack([first, stride]), pictures.pixels.device)
        row = torch.arange(self.size, device=stride.device)
        levels = windows(pictures.pixels, first[:, None] + row * stride[:, None], self.size * channels)
        return levels.view(-1, self.size, self.size, channels).movedim(-1, 1)


def whole(pictures: Pictures) -> Tensor:
    """A batch of images of one size.

    Shapes:
        B pictures -> (B, C, H, W), uint8
    """
    height, width = pictures.sizes[0].tolist()
    starts = to_device(pictures.starts, pictures.pixels.device)
    flat = windows(pictures.pixels, starts, height * width * pictures.channels)
    return flat.view(-1, height, width, pictures.channels).movedim(-1, 1)


def shift(images: Tensor, moves: Tensor) -> Tensor:
    """Images moved down and right by these numbers of pixels; border pixels are repeated.

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


def padded_crop(images: Tensor, padding: int, places: Tensor, mirrored: Tensor) -> Tensor:
    """Crops of the images' own size from the images with a black border, at these places; some mirrored afterwards.

    Shapes:
        (B, C, H, W), (2, B), (B,) -> (B, C, H, W)

    Example:
        >>> image = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8)
        >>> padded_crop(image, 1, torch.tensor([[1], [0]]), torch.tensor([False]))[0, 0].tolist()
        [[0, 1], [0, 3]]
        >>> padded_crop(image, 1, torch.tensor([[1], [0]]), torch.tensor([True]))[0, 0].tolist()
        [[1, 0], [3, 0]]
    """
    height, width = images.shape[2:]
    padded = torch.nn.functional.pad(images, [padding] * 4)
    column = torch.arange(width, device=images.device).expand(len(images), width)
    rows = places[0, :, None] + torch.arange(height, device=images.device)
    columns = places[1, :, None] + torch.where(mirrored[:, None], width - 1 - column, column)
    image = torch.arange(len(images), device=images.device)[:, None, None]
    return padded.movedim(1, -1)[image, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def _check_one_size(sizes: Tensor) -> None:
    if not bool((sizes == sizes[0]).all()):
        raise ValueError(
            f"images must have one size, but go from {sizes.amin(dim=0).tolist()} to {sizes.amax(dim=0).tolist()} "
            "pixels: use RandomResizedCrop and CenterCrop, or resize them to squares with data.image_size"
        )


def _check_size(size: int) -> None:
    if size < 1:
        raise ValueError(f"size must be at least 1, but got {size}")
