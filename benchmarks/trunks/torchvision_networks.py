"""Any classification network of torchvision by its name; ResNet-50 and GoogLeNet up to their last feature map."""

import re
from collections import OrderedDict
from itertools import takewhile

from torch import nn
from torchvision import models

from ..errors import unknown
from .pooling import Pooled
from .preprocessed import Preprocessed
from .weights import download_published, load_exactly, read_weights

# networks with classifiers at inner layers; torchvision's own forward pass converts their input to this range
INCEPTIONS = ("googlenet", "inception_v3")
HALVES = [0.5, 0.5, 0.5]
INNER_CLASSIFIERS = ("aux1.", "aux2.", "AuxLogits.")


def torchvision_network(
    model: str | None = None,
    weights: str | None = "DEFAULT",
    sha256: str | None = None,
    download: bool = False,
    image_size: int | None = None,
) -> Preprocessed:
    """A classification network of torchvision without its last linear layer, behind the preprocessing of its weights.

    Args:
        model: torchvision's name, such as ``resnet18`` or ``convnext_tiny``.
        weights: ``DEFAULT``, ``IMAGENET1K_V1``, ...: the published ones of that name, which are looked for where
            ``torch.hub`` keeps files; a file; or None for random ones.
        sha256: of that file, or its first digits.
        download: fetch published weights that are not there.
        image_size: pixels per side that the network gets; None for the size that the published weights expect.

    Raises:
        ValueError: for a model or weights that torchvision does not have, or weights that do not fit.
        FileNotFoundError: if the weights are not there; the message says which file is expected where.
    """
    known = models.list_models(module=models)
    if model is None:
        raise ValueError("model is missing: name one of torchvision's, as in trunk.network.model=resnet18")
    if model not in known:
        raise ValueError(unknown("torchvision model", model, known))
    published = models.get_model_weights(model)
    entry = published[weights] if weights in published.__members__ else published.DEFAULT
    expected = entry.transforms()
    inception = model in INCEPTIONS
    network = models.get_model(model, weights=None, **({"init_weights": False} if inception else {}))
    if weights is not None:
        if weights in published.__members__:
            if download:
                download_published(entry.url)
            weights = "imagenet"
        tensors = {_current_name(name): tensor for name, tensor in read_weights(weights, entry.url, sha256).items()}
        own = network.state_dict()
        # the classifiers at inner layers are not used, and not every file has them
        unused = {name: tensor for name, tensor in own.items() if name.startswith(INNER_CLASSIFIERS)}
        load_exactly(network, tensors | unused)
    if inception:
        network.aux_logits = False
        for name in ("aux1", "aux2", "AuxLogits"):
            if hasattr(network, name):
                setattr(network, name, None)
    _drop_classifier(network, model)
    size = expected.crop_size[0] if image_size is None else image_size
    mean, std = (HALVES, HALVES) if inception else (expected.mean, expected.std)
    return Preprocessed(network, (size, size), mean, std, expected.interpolation.value)


def _drop_classifier(network: nn.Module, model: str) -> None:
    layers = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise ValueError(f"{model} has no linear classifier to take off; choose another network")
    parent, _, last = layers[-1].rpartition(".")
    setattr(network.get_submodule(parent), last, nn.Identity())


def _current_name(name: str) -> str:
    """The published DenseNets name their layers as torchvision once did: ``norm.1`` for ``norm1``."""
    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])", r"\1\2", name)


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
