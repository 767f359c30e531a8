"""Mixtures of the images of a batch, and the class probabilities that go with them: Mixup and CutMix."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from pml_aug.synthesis.mix_classes import draw_mixing
from pml_aug.to_device import to_device


class Box(NamedTuple):
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` of an image, the ends left out."""

    top: int
    bottom: int
    left: int
    right: int


def mixup(images: Tensor, targets: Tensor, partner: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    r"""Each image blended with its partner, and their class probabilities in the same proportion.

    .. math:: \tilde x_i = \lambda x_i + (1 - \lambda) x_{p(i)}, \quad \tilde y_i = \lambda y_i + (1 - \lambda) y_{p(i)}

    Args:
        images: floats.
        targets: class probabilities.
        partner: row of each image's partner.
        weight: lambda, the image's own share, 0 to 1.

    Shapes:
        (B, ...), (B, C), (B,) -> (B, ...), (B, C)

    Source: Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018.

    Example:
        >>> mixed, probabilities = mixup(torch.tensor([[0.0], [1.0]]), torch.eye(2), torch.tensor([1, 0]), weight=0.75)
        >>> mixed.flatten().tolist(), probabilities[0].tolist()
        ([0.25, 0.75], [0.75, 0.25])
    """
    return torch.lerp(images[partner], images, weight), torch.lerp(targets[partner], targets, weight)


def cutmix(images: Tensor, targets: Tensor, partner: Tensor, box: Box) -> tuple[Tensor, Tensor]:
    """Each image with a box of its partner in it, and their class probabilities by the shares of the pixels.

    Args:
        images: of any type.
        targets: class probabilities.
        partner: row of each image's partner.
        box: the same for all images; within them.

    Shapes:
        (B, channels, H, W), (B, C), (B,) -> (B, channels, H, W), (B, C)

    Source: Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", ICCV
    2019; github.com/clovaai/CutMix-PyTorch, train.py. Deviation: that code weighs the classes by the drawn share even
    where the border cuts the box; here, as in the paper, by the share of the pixels that were replaced.

    Example:
        >>> images = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 2, 2)
        >>> mixed, probabilities = cutmix(images, torch.eye(2), torch.tensor([1, 0]), Box(0, 1, 0, 2))
        >>> mixed[0, 0].tolist(), probabilities[0].tolist()
        ([[1.0, 1.0], [0.0, 0.0]], [0.5, 0.5])
    """
    height, width = images.shape[-2:]
    mixed = images.clone()
    part = (..., slice(box.top, box.bottom), slice(box.left, box.right))
    mixed[part] = images[partner][part]
    replaced = (box.bottom - box.top) * (box.right - box.left) / (height * width)
    return mixed, torch.lerp(targets, targets[partner], replaced)


def draw_box(height: int, width: int, weight: float, generator: torch.Generator) -> Box:
    """A box of 1 - ``weight`` of an image's area and of its shape, at a uniform place; the border cuts it.

    Args:
        height, width: of the images, in pixels.
        weight: share of the area outside the box, 0 to 1, before the border cuts it.
        generator: source of the random numbers, on the CPU.

    Source: github.com/clovaai/CutMix-PyTorch, train.py, rand_bbox.

    Example:
        >>> draw_box(8, 8, weight=1.0, generator=torch.Generator().manual_seed(0))._asdict()["top"] in range(8)
        True
    """
    middle = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    ends = []
    for length, place in zip((height, width), middle, strict=True):
        half = int(length * math.sqrt(1 - weight)) // 2
        centre = int(place * length)
        ends += [max(0, centre - half), min(length, centre + half)]
    return Box(*ends)


class Mixer:
    """Mixtures of a whole batch, in the share of the batches that ``probability`` says.

    Args:
        operator: none, mixup or cutmix.
        alpha: of the Beta distribution that lambda is drawn from.
        probability: of mixing a batch.
        num_classes: C.

    Shapes:
        (B, channels, H, W), (B,) -> (B, channels, H, W), and (B, C) for mixtures or (B,) where nothing was mixed
    """

    def __init__(self, operator: str, alpha: float, probability: float, num_classes: int) -> None:
        self.operator = operator
        self.alpha = alpha
        self.probability = probability
        self.num_classes = num_classes
        self.generator = torch.Generator()

    def start_epoch(self, seed: int) -> None:
        """Begin the stream of an epoch; mixing then depends on nothing that happened before."""
        self.generator.manual_seed(seed)

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if self.operator == "none" or float(torch.rand((), generator=self.generator)) >= self.probability:
            return images, labels
        weight = draw_mixing(self.alpha, self.generator)
        partner = to_device(torch.randperm(len(images), generator=self.generator), images.device)
        targets = one_hot(labels, self.num_classes).to(images.dtype)
        if self.operator == "mixup":
            return mixup(images, targets, partner, weight)
        height, width = images.shape[-2:]
        return cutmix(images, targets, partner, draw_box(height, width, weight, self.generator))
