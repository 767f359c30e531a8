"""Blur, noise and occlusion of images at five levels, the same for every run."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from pml_aug.to_device import to_device

from .images import Transform
from .pixel_store import Pictures

LEVELS = (1, 2, 3, 4, 5)
BLUR = (0.008, 0.014, 0.02, 0.028, 0.04)  # standard deviation of the Gaussian, of the shorter side
NOISE = (0.03, 0.05, 0.08, 0.12, 0.18)  # standard deviation, of the range of levels
OCCLUSION = (0.05, 0.1, 0.2, 0.3, 0.4)  # of the area, in mid-grey
KINDS = {"blur": BLUR, "noise": NOISE, "occlusion": OCCLUSION}


@dataclass(frozen=True)
class Corrupted:
    """What ``transform`` makes of each image, corrupted.

    An image gets the same noise at every level, stronger from level to level, and the same centre of its occlusion.

    Args:
        transform: of evaluated images.
        kind: blur, noise or occlusion.
        level: 1 to 5.

    Shapes:
        B pictures -> (B, C, H, W), float32, levels from 0 to 255

    Source: of noise and blur Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions
    and perturbations", ICLR 2019. Their strengths are for photographs of 224 pixels; these range from what a network
    trained on 32 pixels barely notices to what it cannot read, and blur follows the size of the image.
    """

    transform: Transform
    kind: str
    level: int
    random = False  # to the caller: the generator that it passes starts each pass from the same seed

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.level not in LEVELS:
            raise ValueError(
                f"kind and level must be of {', '.join(KINDS)} and 1 to 5, but got {self.kind} and {self.level}"
            )

    def check(self, sizes: Tensor) -> None:
        self.transform.check(sizes)

    def __call__(self, pictures: Pictures, generator: torch.Generator) -> Tensor:
        levels = self.transform(pictures, generator).float()
        strength = KINDS[self.kind][self.level - 1]
        if self.kind == "blur":
            return blurred(levels, strength * min(levels.shape[2:]))
        if self.kind == "noise":
            noise = to_device(torch.randn(levels.shape, generator=generator), levels.device)
            return (levels + 255 * strength * noise).clamp(0, 255)
        centres = to_device(torch.rand(2, len(levels), generator=generator), levels.device)
        return occluded(levels, centres, strength)


def blurred(images: Tensor, deviation: float) -> Tensor:
    """Images under a Gaussian of ``deviation`` pixels; what lies beyond the border is its nearest pixel.

    Shapes:
        (B, C, H, W) -> (B, C, H, W)

    Example:
        >>> dot = torch.zeros(1, 1, 5, 5)
        >>> dot[..., 2, 2] = 1
        >>> round(float(blurred(dot, 0.5).amax()), 2)
        0.62
    """
    reach = max(1, round(3 * deviation))
    offsets = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    weights = torch.exp(-(offsets**2) / (2 * deviation**2))
    weights /= weights.sum()
    planes = pad(images.flatten(0, 1)[:, None], (reach,) * 4, mode="replicate")
    planes = conv2d(conv2d(planes, weights[None, None, None]), weights[None, None, :, None])
    return planes.view(images.shape)


def occluded(images: Tensor, centres: Tensor, share: float) -> Tensor:
    """Images with a grey square over this share of the area of each, around a centre between 0 and 1 of each side.

    It is moved as far inside as it has to be to lie in the image as a whole.

    Shapes:
        (B, C, H, W), (2, B) -> (B, C, H, W)

    Example:
        >>> occluded(torch.zeros(1, 1, 4, 4), torch.tensor([[0.0], [1.0]]), 0.25)[0, 0, 0].tolist()
        [0.0, 0.0, 127.5, 127.5]
    """
    height, width = images.shape[2:]
    inside = []
    for length, centre in zip((height, width), centres, strict=True):
        side = round(length * share**0.5)
        start = ((centre * length - side / 2).round().clamp(0, length - side))[:, None]
        place = torch.arange(length, device=images.device)
        inside.append((place >= start) & (place < start + side))
    mask = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return torch.where(mask, 127.5, images)
