"""Lifted structure loss with soft maxima over positives and negatives, without a hinge."""

from typing import Any

import torch
from pytorch_metric_learning.distances import BaseDistance, CosineSimilarity
from pytorch_metric_learning.losses import GenericPairLoss
from pytorch_metric_learning.utils.loss_and_miner_utils import logsumexp
from torch import Tensor

from pml_aug.validation import check_number


class SoftLiftedStructureLoss(GenericPairLoss):
    r"""The soft maximum of an anchor's negative similarities minus the soft minimum of its positive similarities.

    .. math::
        \ell_i = \frac{2}{a} \ln \sum_{j \in P_i} e^{-a s_{ij}} + \frac{2}{b} \ln \sum_{j \in N_i} e^{b s_{ij}}

    A term without pairs is 0. With a distance instead of a similarity (not inverted), the signs are reversed. PML's
    GeneralizedLiftedStructureLoss differs: it uses distances, scales of 1, margins and a hinge.

    Args:
        positive_scale: a, above 0; the larger, the more the hardest positive dominates.
        negative_scale: b, above 0; the larger, the more the hardest negative dominates.
        kwargs: for PML's GenericPairLoss: distance (CosineSimilarity by default), reducer, embedding_regularizer, ...

    Shapes:
        (N, D), (N,) -> one loss per anchor, (N,), which the reducer averages; it may be negative

    Raises:
        TypeError: an argument of another type.
        ValueError: an argument out of range.

    Source: github.com/bnu-wangxun/Deep_Metric, LiftedStructure.py, whose beta and alpha are `positive_scale`
    and `negative_scale`; after Oh Song et al., "Deep Metric Learning via Lifted Structured Feature Embedding", CVPR
    2016. Its hard-mining branch is this loss on the pairs of MultiSimilarityMiner(epsilon=0.1). Deviations: the
    anchor itself is excluded by its index instead of by a similarity of 1 or above, which depends on rounding; an
    anchor without positives does not give -inf; an anchor without negatives keeps the term of its positives.

    Example:
        >>> loss = SoftLiftedStructureLoss(positive_scale=2.0, negative_scale=2.0)
        >>> x, y = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0, 1])
        >>> round(float(loss(x, y)), 4)  # -2 for each of two positives; 0 for one orthogonal negative, ln 2 for two
        -1.1023
    """

    def __init__(self, positive_scale: float = 2.0, negative_scale: float = 40.0, **kwargs: Any) -> None:
        check_number("positive_scale", positive_scale, above=0)
        check_number("negative_scale", negative_scale, above=0)
        super().__init__(mat_based_loss=True, **kwargs)
        self.positive_scale = positive_scale
        self.negative_scale = negative_scale
        self.add_to_recordable_attributes(list_of_names=["positive_scale", "negative_scale"], is_stat=False)

    def _compute_loss(self, mat: Tensor, pos_mask: Tensor, neg_mask: Tensor) -> dict[str, Any]:
        farness = self.distance.margin(mat, 0)
        losses = _soft_maximum(farness, self.positive_scale, pos_mask) + _soft_maximum(
            -farness, self.negative_scale, neg_mask
        )
        indices = torch.arange(len(mat), device=mat.device)
        return {"loss": {"losses": losses, "indices": indices, "reduction_type": "element"}}

    def get_default_distance(self) -> BaseDistance:
        return CosineSimilarity()


def _soft_maximum(values: Tensor, scale: float, mask: Tensor) -> Tensor:
    """(2 / scale) ln sum exp(scale * value) over the masked entries of each row, 0 where there are none."""
    return 2 / scale * logsumexp(scale * values, keep_mask=mask.bool(), add_one=False).squeeze(1)
