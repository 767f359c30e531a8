"""Networks from features to embeddings."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..config.protocol import EmbedderConfig
from ..errors import UserError
from .nodes import make, make_module

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


def make_embedder(
    settings: EmbedderConfig, in_features: int, size: int, method: str, head: Mapping[str, Any] | None
) -> nn.Module:
    """The embedder of a protocol, with the method's head, if it has one, in the place of the last layer.

    The semantic layer of a head starts from the weights of the layer that it replaces, so that a method and its
    baseline start from the same embeddings.

    Args:
        settings: ``protocol.embedder``.
        in_features: number of features of the trunk.
        size: of the embeddings, ``protocol.embedding_size``.
        method: its name, for errors.
        head: ``_target_`` and arguments of the method's head; None: it has none.

    Raises:
        UserError: the embedder does not go with the method or the embedding size, or cannot be built.
    """
    layers = (_layers_to if settings.kind in ("linear", "mlp") else _layers_of_own_size)(
        settings, in_features, size, method, head
    )
    if settings.layer_norm:
        layers.insert(0, nn.LayerNorm(in_features, elementwise_affine=False))
    return layers[0] if len(layers) == 1 else nn.Sequential(*layers)


def _layers_to(
    settings: EmbedderConfig, in_features: int, size: int, method: str, head: Mapping[str, Any] | None
) -> list[nn.Module]:
    """Layers to any embedding size, of which the last is linear, or the method's head."""
    layers: list[nn.Module]
    if settings.kind == "mlp":
        hidden = settings.hidden_size or in_features
        layers = list(mlp(in_features, hidden, size, settings.activation, settings.dropout))
    else:
        layers = [nn.Linear(in_features, size, bias=settings.bias is not None)]
    last = layers[-1]
    assert isinstance(last, nn.Linear)
    if settings.init is not None:
        make("protocol.embedder.init", settings.init, last.weight)
    if settings.bias == "zero":
        nn.init.zeros_(last.bias)
    if head is not None:
        if settings.bias is None:
            raise UserError(f"method={method} has a head with a bias: protocol.embedder.bias must not be null")
        made = make_module(f"method={method}", head, in_features=last.in_features, embedding_size=size)
        made.semantic_layer.load_state_dict(last.state_dict())
        layers[-1] = made
    return layers


def _layers_of_own_size(
    settings: EmbedderConfig, in_features: int, size: int, method: str, head: Mapping[str, Any] | None
) -> list[nn.Module]:
    """One layer, whose embeddings have the size of the features."""
    if head is not None:
        raise UserError(
            f"method={method} replaces the last layer by a head of its own, and embedder={settings.kind} "
            "has none that fits: use embedder=linear or embedder=mlp"
        )
    if in_features != size:
        raise UserError(
            f"embedder={settings.kind} gives embeddings of the size of the features: set "
            f"protocol.embedding_size={in_features}"
        )
    if settings.kind == "identity":
        return [nn.Identity()]
    return [Residual(in_features, settings.hidden_size or in_features, settings.activation, settings.dropout)]


def mlp(in_features: int, hidden_size: int, out_features: int, activation: str, dropout: float) -> nn.Sequential:
    """Linear, activation, dropout, linear.

    Shapes:
        (N, in_features) -> (N, out_features)
    """
    return nn.Sequential(
        nn.Linear(in_features, hidden_size),
        ACTIVATIONS[activation](),
        nn.Dropout(dropout),
        nn.Linear(hidden_size, out_features),
    )


class Residual(nn.Module):
    """The features plus a correction by an MLP, which starts at zero.

    Args:
        num_features: F, of the features and of the embeddings.
        hidden_size: of the MLP.
        activation: relu, gelu or tanh.
        dropout: share of the hidden units that a step leaves out.

    Shapes:
        (N, F) -> (N, F)

    Example:
        >>> features = torch.tensor([[1.0, -2.0]])
        >>> Residual(num_features=2, hidden_size=3, activation="relu", dropout=0.0)(features).tolist()
        [[1.0, -2.0]]
    """

    def __init__(self, num_features: int, hidden_size: int, activation: str, dropout: float) -> None:
        super().__init__()
        self.correction = mlp(num_features, hidden_size, num_features, activation, dropout)
        with torch.no_grad():
            for weight in self.correction[-1].parameters():
                weight.zero_()

    def forward(self, features: Tensor) -> Tensor:
        return features + self.correction(features)
