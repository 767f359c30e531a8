"""ResNet-50 and GoogLeNet of torchvision, up to their last feature map."""

from collections import OrderedDict
from itertools import takewhile

from torch import nn
from torchvision import models

from benchmarks.trunks.pooling import Pooled
from benchmarks.trunks.weights import load_exactly, read_weights


class ResNet50(Pooled):
    """torchvision's ResNet-50 without its classifier; 2048 features.

    Args:
        pooling: avg, max or avg+max.
        weights: ``imagenet`` (torchvision's first weights, IMAGENET1K_V1), a file, or None for random ones.
        sha256: of the file.

    Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016.
    """

    def __init__(self, pooling: str = "avg", weights: str | None = None, sha256: str | None = None) -> None:
        super().__init__(_before_pooling(models.resnet50()), out_features=2048, pooling=pooling)
        _load(self.features, weights, models.ResNet50_Weights.IMAGENET1K_V1.url, sha256)


class GoogLeNet(Pooled):
    """torchvision's GoogLeNet without its classifiers; 1024 features.

    The published weights expect ``pixel / 127.5 - 1``. torchvision's own model converts to that from ImageNet's
    mean and deviation; here the trunk's ``normalization`` says it.

    Args:
        pooling: avg, max or avg+max.
        weights: ``imagenet`` (torchvision's IMAGENET1K_V1), a file, or None for random ones.
        sha256: of the file.

    Source: Szegedy et al., "Going Deeper with Convolutions", CVPR 2015.
    """

    def __init__(self, pooling: str = "avg", weights: str | None = None, sha256: str | None = None) -> None:
        network = models.GoogLeNet(aux_logits=False, init_weights=False)
        super().__init__(_before_pooling(network), out_features=1024, pooling=pooling)
        _load(self.features, weights, models.GoogLeNet_Weights.IMAGENET1K_V1.url, sha256)


def _before_pooling(network: nn.Module) -> nn.Sequential:
    """Its layers under their own names; both networks declare them in the order in which they are applied."""
    return nn.Sequential(OrderedDict(takewhile(lambda named: named[0] != "avgpool", network.named_children())))


def _load(features: nn.Module, weights: str | None, url: str, sha256: str | None) -> None:
    if weights is None:
        return
    classifiers = ("fc.", "aux1.", "aux2.")
    tensors = read_weights(weights, url, sha256)
    load_exactly(features, {name: tensor for name, tensor in tensors.items() if not name.startswith(classifiers)})
