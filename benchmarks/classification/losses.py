"""The ordinary softmax classifier, as the counterpart of ``pml_aug.losses.IntrospectiveSoftmaxLoss``."""

from torch import Tensor, nn
from torch.nn.functional import cross_entropy


class SoftmaxLoss(nn.Module):
    """Mean cross entropy of a linear classifier's logits.

    It draws its initial weights as IntrospectiveSoftmaxLoss draws its classifier's, so both start from the same ones.

    Args:
        num_classes: C.
        in_features: F, width of the trunk's features.

    Shapes:
        (N, F), (N,) or class probabilities (N, C) -> ()
    """

    def __init__(self, num_classes: int, in_features: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(in_features, num_classes)

    def forward(self, features: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(self.get_logits(features), targets)

    def get_logits(self, features: Tensor) -> Tensor:
        """The logits for predictions: (N, F) -> (N, C)."""
        return self.classifier(features)
