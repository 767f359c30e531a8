"""Softmax loss whose logits are discounted by the uncertainty of the features (IDML)."""

from typing import Any, ClassVar

import torch
from pytorch_metric_learning.losses import BaseMetricLossFunction
from pytorch_metric_learning.reducers import ClassWeightedReducer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear

from pml_aug.distances.introspective_base import trust
from pml_aug.host import CopyMode, LossFacts
from pml_aug.to_device import to_device
from pml_aug.validation import check_class_labels, check_flag, check_integer, check_number


class IntrospectiveSoftmaxLoss(BaseMetricLossFunction):
    r"""Cross entropy of logits that approach 1 for uncertain features and for features near a class prototype.

    .. math::
        o_c = w_c \cdot h + b_c, \quad u = \mathrm{relu}(W_u h + b_u), \quad
        s_c = 1 - (1 - o_c) \exp\Bigl(-\frac{|u|^2 + \text{offset}}{\tau |h - w_c|^2}\Bigr)

    The input is the trunk's features h. The loss contains the classifier and the uncertainty layer: pass its parameters
    to an optimizer. Predict with `get_logits`, which returns o without the uncertainty. With infinite tau this is the
    ordinary softmax loss.

    Args:
        num_classes: C, at least 1.
        in_features: F, width of the trunk's features, at least 1.
        uncertainty_size: U, width of u, at least 1.
        tau: above 0, infinity included; larger values discount less.
        offset: uncertainty that every row has, at least 0.
        bias_in_prototype: compare h with :math:`w_c + b_c` (the bias added to every coordinate, as in the official
            code) instead of :math:`w_c`.
        kwargs: for PML's BaseMetricLossFunction: `reducer`, `embedding_regularizer`, `collect_stats`, ...

    Shapes:
        (N, F), (N,) or (N, C) -> the output of the reducer; labels of shape (N, C) are class probabilities, as from
        Mixup and CutMix of torchvision's v2 transforms

    Raises:
        TypeError: an argument of another type.
        ValueError: an argument out of range, or a `distance`; in a call, labels of another shape, `indices_tuple` or
            `ref_emb`.

    Source: Wang et al., "Introspective Deep Metric Learning", TPAMI 2023; github.com/wangck20/IDML, history of
    image_classification (last in the parent of commit 66812ee). Deviations: the official prototypes include the bias
    (`bias_in_prototype=True`), and the distance has a lower bound here. A logit has no upper bound, so 1 - o is not
    strictly a dissimilarity; it is kept as published.

    Example:
        >>> loss = IntrospectiveSoftmaxLoss(num_classes=3, in_features=8, uncertainty_size=4)
        >>> features, labels = torch.randn(5, 8), torch.tensor([0, 1, 2, 0, 1])
        >>> one_hot = torch.nn.functional.one_hot(labels, 3).float()
        >>> bool(torch.isclose(loss(features, labels), loss(features, one_hot)))
        True
        >>> loss.get_logits(features).shape
        torch.Size([5, 3])
    """

    facts: ClassVar[LossFacts] = LossFacts(
        copies=CopyMode.IN_BATCH,
        reads_tuples=False,
        reads_ref_emb=False,
        refused_by={
            "EmbeddingExpansion": "it compares embeddings with its classes by itself, so the points would not reach it",
            "CrossBatchMemory": "it classifies each row by itself, so there is nothing to remember",
        },
    )

    def __init__(
        self,
        num_classes: int,
        in_features: int,
        uncertainty_size: int,
        tau: float = 5.0,
        offset: float = 0.0,
        bias_in_prototype: bool = False,
        **kwargs: Any,
    ) -> None:
        check_integer("num_classes", num_classes, minimum=1)
        check_integer("in_features", in_features, minimum=1)
        check_integer("uncertainty_size", uncertainty_size, minimum=1)
        check_number("tau", tau, above=0, finite=False)
        check_number("offset", offset, minimum=0)
        check_flag("bias_in_prototype", bias_in_prototype)
        if "distance" in kwargs:
            raise ValueError(
                "IntrospectiveSoftmaxLoss takes no `distance`: it compares features with its own classifier"
            )
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.tau = tau
        self.offset = offset
        self.bias_in_prototype = bias_in_prototype
        self.classifier = nn.Linear(in_features, num_classes)
        self.uncertainty_layer = nn.Linear(in_features, uncertainty_size)
        self.add_to_recordable_attributes(list_of_names=["num_classes", "tau", "offset"], is_stat=False)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor | None = None,
        indices_tuple: tuple[Tensor, ...] | None = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
    ) -> Tensor:
        """The loss of features (N, F) with classes (N,) or class probabilities (N, C).

        Half precision is converted to the dtype of the classifier, and autocast is disabled inside.
        """
        self.reset_stats()
        for name, given in (("indices_tuple", indices_tuple), ("ref_emb", ref_emb), ("ref_labels", ref_labels)):
            if given is not None:
                raise ValueError(f"IntrospectiveSoftmaxLoss takes no `{name}`: it classifies each row by itself")
        labels = to_device(self._checked(labels, len(embeddings)), embeddings.device)
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings = embeddings.to(self.classifier.weight.dtype)
            loss_dict = self.compute_loss(embeddings, labels)
            self.add_embedding_regularization_to_loss_dict(loss_dict, embeddings)
            return self.reducer(loss_dict, embeddings, labels)

    def compute_loss(self, embeddings: Tensor, labels: Tensor) -> dict[str, Any]:
        losses = cross_entropy(self.introspective_logits(embeddings), labels, reduction="none")
        indices = torch.arange(len(losses), device=losses.device)
        return {"loss": {"losses": losses, "indices": indices, "reduction_type": "element"}}

    def introspective_logits(self, features: Tensor) -> Tensor:
        """s, the logits that the loss compares with the labels: (N, F) -> (N, C)."""
        weight, bias = self.classifier.weight, self.classifier.bias
        product = linear(features, weight)
        logits = product + bias
        if self.bias_in_prototype:
            weight = weight + bias[:, None]
            product = product + bias * features.sum(dim=1, keepdim=True)
        squares, prototype_squares = features.square().sum(dim=1, keepdim=True), weight.square().sum(dim=1)
        distance = torch.sub(squares + prototype_squares, product, alpha=2)
        level = self.uncertainty(features).square().sum(dim=1, keepdim=True)
        return 1 + (logits - 1) * trust(distance, level, self.tau, self.offset)

    def uncertainty(self, features: Tensor) -> Tensor:
        """The rows u, (N, F) -> (N, U); longer rows mean more uncertain features."""
        return self.uncertainty_layer(features).relu()

    def get_logits(self, embeddings: Tensor) -> Tensor:
        """o, the logits for predictions: (N, F) -> (N, C)."""
        return self.classifier(embeddings)

    def _checked(self, labels: Tensor | None, num_rows: int) -> Tensor:
        if labels is not None and labels.shape == (num_rows,) and not labels.is_floating_point():
            labels = labels.long()
            check_class_labels(labels, self.num_classes)
            return labels
        if labels is None or labels.shape != (num_rows, self.num_classes) or not labels.is_floating_point():
            got = "None" if labels is None else f"{labels.dtype} of shape {tuple(labels.shape)}"
            raise ValueError(
                f"labels must be integers of shape ({num_rows},) or probabilities of shape ({num_rows}, "
                f"{self.num_classes}), but got {got}"
            )
        if any(isinstance(module, ClassWeightedReducer) for module in self.modules()):
            raise ValueError("ClassWeightedReducer needs one class per row, but got class probabilities")
        return labels
