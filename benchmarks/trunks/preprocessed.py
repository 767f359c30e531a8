"""A network together with the preprocessing that its weights expect."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate


class Preprocessed(nn.Module):
    """Features of images whose values go from 0 to 1: resized to the network's input size, then normalised.

    Args:
        network: from (N, 3, height, width) to features (N, F).
        image_size: height and width that the network gets; images of this size are not resampled.
        mean: of each channel of the network's training images, which went from 0 to 1.
        std: of each channel, above 0.
        interpolation: ``bicubic`` or ``bilinear``, both antialiased.

    Shapes:
        (N, 3, H, W), or (N, 1, H, W), which is repeated to three channels -> (N, F)

    Example:
        >>> trunk = Preprocessed(nn.Flatten(), (1, 1), mean=[0.5] * 3, std=[0.25] * 3)
        >>> trunk(torch.tensor([[[[0.5, 1.0], [1.0, 0.5]]]])).tolist()
        [[1.0, 1.0, 1.0]]
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        image_size: tuple[int, int],
        mean: Sequence[float],
        std: Sequence[float],
        interpolation: str = "bilinear",
    ) -> None:
        super().__init__()
        self.network = network
        self.image_size = image_size
        self.interpolation = interpolation
        # not persistent: the state dict holds the network's weights and nothing else
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        if tuple(images.shape[-2:]) != self.image_size:
            # bicubic resampling overshoots; an image file could not hold such values
            images = interpolate(images, self.image_size, mode=self.interpolation, antialias=True).clamp(0, 1)
        return self.network((images - self.mean) / self.std)  # a gray image becomes three channels here
