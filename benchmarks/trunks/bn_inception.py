"""Inception with BatchNorm, the trunk of most published metric-learning tables."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .pooling import Pooled
from .weights import load_exactly, read_weights

URL = "http://data.lip6.fr/cadene/pretrainedmodels/bn_inception-52deb4733.pth"
MOMENTUM = 0.9  # of the running statistics, as in the public network; matters only where BatchNorm is not frozen


class Widths(NamedTuple):
    """Output channels of an Inception block's four branches; a block without ``single`` halves the image's sides."""

    single: int | None  # 1 x 1
    triple: tuple[int, int]  # 1 x 1, 3 x 3
    double: tuple[int, int]  # 1 x 1, then each of two 3 x 3
    projection: int | None  # 1 x 1 after pooling
    max_pool: bool = False


BLOCKS = {
    "3a": Widths(64, (64, 64), (64, 96), 32),
    "3b": Widths(64, (64, 96), (64, 96), 64),
    "3c": Widths(None, (128, 160), (64, 96), None),
    "4a": Widths(224, (64, 96), (96, 128), 128),
    "4b": Widths(192, (96, 128), (96, 128), 128),
    "4c": Widths(160, (128, 160), (128, 160), 128),
    "4d": Widths(96, (128, 192), (160, 192), 128),
    "4e": Widths(None, (128, 192), (192, 256), None),
    "5a": Widths(352, (192, 320), (160, 224), 128),
    "5b": Widths(352, (192, 320), (192, 224), 128, max_pool=True),
}


class BNInception(Pooled):
    """BN-Inception without its classifier; 1024 features. Images of 224 or 227 pixels are what it is made for.

    The published weights were converted from Caffe: they expect blue, green, red from 0 to 255, less the mean
    (104, 117, 128).

    Args:
        pooling: avg, max or avg+max.
        weights: ``imagenet`` (the public file bn_inception-52deb4733.pth of Cadene's pretrained-models), a file with
            the same names, or None for random ones.
        sha256: of the file.

    Source: Ioffe, Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate
    Shift", ICML 2015, figure 5.
    """

    def __init__(self, pooling: str = "avg", weights: str | None = None, sha256: str | None = None) -> None:
        layers: dict[str, nn.Module] = {
            "conv1_7x7_s2": Convolution(3, 64, side=7, stride=2),
            "pool1": nn.MaxPool2d(3, stride=2, ceil_mode=True),
            "conv2_3x3_reduce": Convolution(64, 64, side=1),
            "conv2_3x3": Convolution(64, 192, side=3),
            "pool2": nn.MaxPool2d(3, stride=2, ceil_mode=True),
        }
        channels = 192
        for name, widths in BLOCKS.items():
            block = Block(channels, widths)
            layers[f"inception_{name}"] = block
            channels = block.out_channels
        features = nn.Sequential()
        for name, layer in layers.items():
            features.add_module(name, layer)
        super().__init__(features, channels, pooling)
        if weights is not None:
            load_exactly(features, _own_names(features, read_weights(weights, URL, sha256)))


class Convolution(nn.Module):
    """Convolution that keeps the sides (but for its stride), BatchNorm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, side: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, side, stride=stride, padding=side // 2)
        self.bn = nn.BatchNorm2d(out_channels, momentum=MOMENTUM)

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.relu(self.bn(self.conv(images)), inplace=True)


class Block(nn.Module):
    """One Inception block: the branches' outputs, one after the other along the channels."""

    def __init__(self, in_channels: int, widths: Widths) -> None:
        super().__init__()
        stride = 2 if widths.single is None else 1
        branches: list[list[tuple[str, nn.Module]]] = []
        if widths.single is not None:
            branches.append([("1x1", Convolution(in_channels, widths.single, side=1))])
        (reduced, triple), (double_reduced, double) = widths.triple, widths.double
        branches.append(
            [
                ("3x3_reduce", Convolution(in_channels, reduced, side=1)),
                ("3x3", Convolution(reduced, triple, side=3, stride=stride)),
            ]
        )
        branches.append(
            [
                ("double_3x3_reduce", Convolution(in_channels, double_reduced, side=1)),
                ("double_3x3_1", Convolution(double_reduced, double, side=3)),
                ("double_3x3_2", Convolution(double, double, side=3, stride=stride)),
            ]
        )
        branches.append([("pool", _pool(stride, widths.max_pool))])
        if widths.projection is not None:
            branches[-1].append(("pool_proj", Convolution(in_channels, widths.projection, side=1)))
        self.branches = [[name for name, _ in branch] for branch in branches]
        for branch in branches:
            for name, layer in branch:
                self.add_module(name, layer)
        passed = in_channels if widths.projection is None else widths.projection
        self.out_channels = (widths.single or 0) + triple + double + passed

    def forward(self, maps: Tensor) -> Tensor:
        outputs = []
        for branch in self.branches:
            output = maps
            for name in branch:
                output = self.get_submodule(name)(output)
            outputs.append(output)
        return torch.cat(outputs, dim=1)


def _pool(stride: int, max_pool: bool) -> nn.Module:
    if stride == 2:
        return nn.MaxPool2d(3, stride=2, ceil_mode=True)
    return nn.MaxPool2d(3, stride=1, padding=1) if max_pool else nn.AvgPool2d(3, stride=1, padding=1)


def _own_names(features: nn.Module, public: dict[str, Tensor]) -> dict[str, Tensor]:
    """Public tensors under this module's names, the classifier's left out; what fits nowhere keeps its name.

    Publicly ``inception_3a_1x1_bn.weight`` is what is ``inception_3a.1x1.bn.weight`` here. In the older public files
    BatchNorm's tensors have a first dimension of 1.
    """
    own = features.state_dict()
    names = {}
    for name in own:
        *layer, kind, last = name.split(".")
        names["_".join(layer) + ("_bn" if kind == "bn" else "") + f".{last}"] = name
    found = {}
    for name, tensor in public.items():
        if name.startswith("last_linear."):
            continue
        known = names.get(name, name)
        fits = known in own and tensor.shape == (1, *own[known].shape)
        found[known] = tensor[0] if fits else tensor
    counters = {name: tensor for name, tensor in own.items() if name.endswith("num_batches_tracked")}
    return counters | found
