"""Lifted structure with a soft maximum on both sides and no hinge."""

from typing import Any

import torch
from pytorch_metric_learning.distances import BaseDistance, CosineSimilarity
from pytorch_metric_learning.losses import GenericPairLoss
from pytorch_metric_learning.utils.loss_and_miner_utils import logsumexp
from torch import Tensor


class SoftLiftedStructureLoss(GenericPairLoss):
    r"""The soft maximum of each anchor's negatives above the soft minimum of its positives, in similarities.

    .. math::
        \ell_i = \frac{2}{a} \ln \sum_{j \in P_i} e^{-a s_{ij}} + \frac{2}{b} \ln \sum_{j \in N_i} e^{b s_{ij}}

    A side without pairs adds nothing. For distances (not inverted), the signs turn around. PML's
    GeneralizedLiftedStructureLoss is another function: distances, both scales 1, margins, cut at 0.

    Args:
        positive_scale: a, above 0; the larger, the more the hardest positive decides.
        negative_scale: b, above 0.
        kwargs: of every PML loss: distance (CosineSimilarity by default), reducer, embedding_regularizer, ...

    Shapes:
        (N, D), (N,) -> one loss an anchor, (N,), to the reducer; it may be negative

    Raises:
        ValueError: an argument out of range.

    Source: github.com/bnu-wangxun/Deep_Metric, LiftedStructure.py, whose beta and alpha are `positive_scale`
    and `negative_scale`; after Oh Song et al., "Deep Metric Learning via Lifted Structured Feature Embedding", CVPR
    2016. Its hard-mining branch is this loss on the pairs of MultiSimilarityMiner(epsilon=0.1). Deviations: the
    anchor itself is left out by its index, not for having a similarity of 1 or above (rounding decides that there);
    an anchor without positives does not give -inf; one without negatives keeps its positives' term.

    Example:
        >>> loss = SoftLiftedStructureLoss(positive_scale=2.0, negative_scale=2.0)
        >>> x, y = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0, 1])
        >>> round(float(loss(x, y)), 4)  # -2 for each of two positives; 0 for one orthogonal negative, ln 2 for two
        -1.1023
    """

    def __init__(self, positive_scale: float = 2.0, negative_scale: float = 40.0, **kwargs: Any) -> None:
        for name, scale in {"positive_scale": positive_scale, "negative_scale": negative_scale}.items():
            if not scale > 0:
                raise ValueError(f"{name} must be above 0, but got {scale}")
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
