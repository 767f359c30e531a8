"""Random changes of brightness, contrast, saturation and colour, after another transform."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pml_aug.to_device import to_device

from .images import Transform
from .pixel_store import Pictures

GRAY = (0.299, 0.587, 0.114)  # shares of red, green and blue
# principal components of the colours of ImageNet's pixels, from 0 to 1: variances' roots, and directions as columns
ROOTS = (0.2175, 0.0188, 0.0045)
DIRECTIONS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


@dataclass(frozen=True)
class ColourNoise:
    """Changes the colours of each image at random after another transform; levels may leave the range of 0 to 255.

    First brightness, contrast and saturation: the image is mixed with black, with its mean grey and with its own grey
    version, in shares uniform between -``jitter`` and ``jitter``. Then a multiple of each principal component of
    ImageNet's colours is added, normal with deviation ``lighting``.

    Args:
        transform: of colour images, first.
        jitter: 0 to 1.
        lighting: at least 0.

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS
    2012, for the components; github.com/clovaai/CutMix-PyTorch, train.py and utils.py, for the values. That code
    applies the three in random order, which changes nothing: each is linear, and they commute.
    """

    transform: Transform
    jitter: float = 0.4
    lighting: float = 0.1
    random = True

    def __post_init__(self) -> None:
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter must be between 0 and 1, but got {self.jitter}")
        if self.lighting < 0:
            raise ValueError(f"lighting must be at least 0, but got {self.lighting}")

    def check(self, sizes: Tensor) -> None:
        self.transform.check(sizes)

    def __call__(self, pictures: Pictures, generator: torch.Generator) -> Tensor:
        images = self.transform(pictures, generator).float()
        if images.shape[1] != 3:
            raise ValueError(f"ColourNoise needs images in colour, but these have {images.shape[1]} channel")
        shares = self.jitter * (2 * torch.rand(len(images), 3, generator=generator) - 1)
        strengths = self.lighting * torch.randn(len(images), 3, generator=generator)
        colours = 255 * (strengths * torch.tensor(ROOTS)) @ torch.tensor(DIRECTIONS).T
        shares, colours = to_device(shares, images.device), to_device(colours, images.device)
        return jittered(images, shares) + colours[:, :, None, None]


def jittered(images: Tensor, shares: Tensor) -> Tensor:
    """Colour images mixed with black, then with their mean grey, then with their own grey version, in these shares.

    Shapes:
        (B, 3, H, W) red, green and blue, (B, 3) -> (B, 3, H, W)

    Example:
        >>> jittered(torch.full((1, 3, 1, 1), 100.0), torch.tensor([[0.5, 0.0, 0.0]])).flatten()
        tensor([50., 50., 50.])
    """
    weights = torch.tensor(GRAY, device=images.device)[:, None, None]
    darker, flatter, paler = shares.T[:, :, None, None, None]
    images = images * (1 - darker)
    gray = (images * weights).sum(dim=1, keepdim=True)
    mean = gray.mean(dim=(2, 3), keepdim=True)
    images, gray = torch.lerp(images, mean, flatter), torch.lerp(gray, mean, flatter)
    return torch.lerp(images, gray, paler)
