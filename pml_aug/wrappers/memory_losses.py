"""Which losses can compare a batch with a memory of other embeddings."""

from collections.abc import Mapping

from pytorch_metric_learning import losses
from pytorch_metric_learning.losses import BaseMetricLossFunction
from pytorch_metric_learning.reducers import PerAnchorReducer
from torch import nn

from pml_aug.wrappers.base import LossWrapper
from pml_aug.wrappers.proxies import LAYOUTS

_PROXIES = "it compares embeddings with proxies, so there is nothing to remember"
_ONE_BATCH = "it compares the rows of one batch with each other and takes no others"

REFUSALS: Mapping[type[nn.Module], str] = {
    losses.FastAPLoss: _ONE_BATCH,
    losses.HistogramLoss: _ONE_BATCH,
    losses.InstanceLoss: _ONE_BATCH,
    losses.NPairsLoss: _ONE_BATCH,
    losses.PNPLoss: _ONE_BATCH,
    losses.RankedListLoss: _ONE_BATCH,
    losses.SmoothAPLoss: _ONE_BATCH,
    losses.VICRegLoss: "it compares two views row by row and knows no labels",
    losses.ThresholdConsistentMarginLoss: "it looks up positives and negatives in the batch, wherever they are",
    losses.LiftedStructureLoss: "it takes positions in the memory for rows of the batch when it collects the negatives "
    "of a positive; use GeneralizedLiftedStructureLoss or SoftLiftedStructureLoss",
    losses.NCALoss: "it compares with all of the memory whatever the pairs, so the own copy of a row, which is in it, "
    "would be its nearest positive; use NTXentLoss or SupConLoss",
    losses.ManifoldLoss: _PROXIES,
    **dict.fromkeys(LAYOUTS, _PROXIES),
}


def wrappers_of(loss: BaseMetricLossFunction) -> list[LossWrapper]:
    """The wrappers around a loss that can compare a batch with a memory, from the outermost.

    Raises:
        TypeError: `loss` is none of PML's.
        ValueError: the loss inside cannot; by its name, with the reason.
    """
    if not isinstance(loss, BaseMetricLossFunction):
        raise TypeError(
            "CrossBatchMemory expected argument `loss` to be a BaseMetricLossFunction of pytorch-metric-learning, but "
            f"got {type(loss).__name__}; put MultipleLosses or DistributedLossWrapper around the result"
        )
    wrappers: list[LossWrapper] = []
    while isinstance(loss, LossWrapper):
        wrappers.append(loss)
        loss = loss.loss
    name = " around ".join(type(part).__name__ for part in (*wrappers, loss))
    reason = next((REFUSALS[kind] for kind in type(loss).__mro__ if kind in REFUSALS), None)
    if isinstance(loss, losses.TripletMarginLoss) and loss.swap:
        reason = "with swap=True it looks up distances between positives and negatives where those of the batch are"
    if any(isinstance(module, PerAnchorReducer) for module in loss.modules()):
        reason = "its PerAnchorReducer lays pairs out in a square of the batch, which has no place for the memory"
    if reason is not None:
        raise ValueError(f"CrossBatchMemory cannot hold {name}: {reason}")
    return wrappers
