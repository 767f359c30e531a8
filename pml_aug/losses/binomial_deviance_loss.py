"""Binomial deviance of pair similarities, averaged over the pairs of each anchor."""

from typing import Any

import torch
from pytorch_metric_learning.distances import BaseDistance, CosineSimilarity
from pytorch_metric_learning.losses import GenericPairLoss
from torch import Tensor
from torch.nn.functional import logsigmoid

from pml_aug.validation import check_number


class BinomialDevianceLoss(GenericPairLoss):
    r"""Logistic loss of pair similarities around a margin, averaged over the positives and the negatives of an anchor.

    .. math::
        \ell_i = \frac{w_p}{|P_i|} \sum_{j \in P_i} \ln\bigl(1 + e^{-a (s_{ij} - m)}\bigr)
               + \frac{w_n}{|N_i|} \sum_{j \in N_i} \ln\bigl(1 + e^{b (s_{ij} - m)}\bigr)

    A term without pairs is 0. With a distance instead of a similarity (not inverted), the signs are reversed.

    Args:
        positive_scale: a, above 0; slope of the loss of positive pairs.
        negative_scale: b, above 0; slope of the loss of negative pairs.
        margin: m, the similarity at which both curves bend, in units of `distance`.
        positive_weight: :math:`w_p`, weight of the mean over positive pairs, at least 0.
        negative_weight: :math:`w_n`, weight of the mean over negative pairs, at least 0.
        kwargs: for PML's GenericPairLoss: distance (CosineSimilarity by default), reducer, embedding_regularizer, ...

    Shapes:
        (N, D), (N,) -> one loss per anchor, (N,), which the reducer averages

    Raises:
        TypeError: an argument of another type.
        ValueError: an argument out of range.

    Source: Yi, Lei and Li, "Deep metric learning for practical person re-identification", 2014, gives the binomial
    deviance; this weighting is that of github.com/bnu-wangxun/Deep_Metric, Binomial.py, whose alpha is
    `negative_scale`. Its hard-mining branch is this loss with both weights 2 / scale, on the pairs of
    MultiSimilarityMiner(epsilon=0.1). Deviations: the anchor itself is excluded by its index instead of by a
    similarity of 1 or above, which depends on rounding; an anchor without positives gives no NaN; an anchor without
    negatives keeps the term of its positives instead of being skipped.

    Example:
        >>> loss = BinomialDevianceLoss(positive_scale=2.0, negative_scale=2.0, margin=0.0)
        >>> x, y = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0, 1])
        >>> round(float(loss(x, y)), 4)  # ln 2 for each anchor's negatives, ln(1 + exp(-2)) for the two positives
        0.7778
    """

    def __init__(
        self,
        positive_scale: float = 2.0,
        negative_scale: float = 40.0,
        margin: float = 0.5,
        positive_weight: float = 1.0,
        negative_weight: float = 1.0,
        **kwargs: Any,
    ) -> None:
        check_number("positive_scale", positive_scale, above=0)
        check_number("negative_scale", negative_scale, above=0)
        check_number("margin", margin)
        check_number("positive_weight", positive_weight, minimum=0)
        check_number("negative_weight", negative_weight, minimum=0)
        super().__init__(mat_based_loss=True, **kwargs)
        self.positive_scale = positive_scale
        self.negative_scale = negative_scale
        self.margin = margin
        self.positive_weight = positive_weight
        self.negative_weight = negative_weight
        self.add_to_recordable_attributes(
            list_of_names=["positive_scale", "negative_scale", "margin", "positive_weight", "negative_weight"],
            is_stat=False,
        )

    def _compute_loss(self, mat: Tensor, pos_mask: Tensor, neg_mask: Tensor) -> dict[str, Any]:
        positive = _deviance(self.positive_scale * self.distance.margin(mat, self.margin))
        negative = _deviance(self.negative_scale * self.distance.margin(self.margin, mat))
        losses = self.positive_weight * _row_means(positive, pos_mask) + self.negative_weight * _row_means(
            negative, neg_mask
        )
        indices = torch.arange(len(mat), device=mat.device)
        return {"loss": {"losses": losses, "indices": indices, "reduction_type": "element"}}

    def get_default_distance(self) -> BaseDistance:
        return CosineSimilarity()


def _deviance(violation: Tensor) -> Tensor:
    """ln(1 + exp(violation)), exact at any size; torch's softplus is linear above 20."""
    return -logsigmoid(-violation)


def _row_means(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the masked entries of each row, 0 where there are none: (N, R), (N, R) -> (N,)."""
    return (values * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
