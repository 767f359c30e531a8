"""Networks from features to embeddings, beside the linear one."""

import torch
from torch import Tensor, nn

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


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
