"""PyramidNet for images of 32 x 32 pixels, whose blocks grow wider one by one."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

EXPANSION = 4  # of a block's output over its middle
FIRST = 16  # channels of the first convolution


class PyramidNet(nn.Module):
    """Features of a pre-activated residual network of bottlenecks; (N, in_channels, H, W) -> (N, out_features).

    Three stages of (depth - 2) / 9 blocks; the second and third halve the sides. Block k of all K has
    16 + alpha k / K channels in its middle, rounded. A shortcut has no weights: missing channels are zero.

    Args:
        depth: convolutions, such as 200; 9 a block and 2 more.
        alpha: channels that all blocks together add to the 16 of the first convolution, above 0.
        in_channels: of the images.

    Attributes:
        out_features: width of the features.

    Source: Han, Kim and Kim, "Deep Pyramidal Residual Networks", CVPR 2017; the network of CutMix on CIFAR
    (github.com/clovaai/CutMix-PyTorch, pyramidnet.py).

    Example:
        >>> import torch
        >>> PyramidNet(depth=20, alpha=12)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 112])
    """

    def __init__(self, depth: int = 200, alpha: float = 240, in_channels: int = 3) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 2, 9)
        if rest or blocks < 1:
            raise ValueError(f"depth must be 9 times a number of blocks, plus 2, such as 110 or 200, but got {depth}")
        if alpha <= 0:
            raise ValueError(f"alpha must be above 0, but got {alpha}")
        total = 3 * blocks
        middles = [round(FIRST + alpha * number / total) for number in range(1, total + 1)]
        widths = [FIRST, *(EXPANSION * middle for middle in middles)]
        self.first = nn.Sequential(nn.Conv2d(in_channels, FIRST, 3, padding=1, bias=False), nn.BatchNorm2d(FIRST))
        self.blocks = nn.Sequential(
            *(
                Bottleneck(before, middle, after, stride=2 if number in (blocks, 2 * blocks) else 1)
                for number, ((before, after), middle) in enumerate(zip(pairwise(widths), middles, strict=True))
            )
        )
        self.out_features = widths[-1]
        self.last = nn.Sequential(nn.BatchNorm2d(self.out_features), nn.ReLU(inplace=True))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.blocks(self.first(images))).mean(dim=(2, 3))


class Bottleneck(nn.Module):
    """A block: convolutions of 1, 3 and 1 pixels, each normalised before and after; the input is added."""

    def __init__(self, before: int, middle: int, after: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.missing = after - before
        self.layers = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.Conv2d(before, middle, 1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, middle, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )

    def forward(self, images: Tensor) -> Tensor:
        shortcut = images if self.stride == 1 else avg_pool2d(images, 2, ceil_mode=True)
        return self.layers(images) + pad(shortcut, (0, 0, 0, 0, 0, self.missing))
