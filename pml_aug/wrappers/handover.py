"""How a loss is given synthetic copies of the rows of its batch."""

from enum import Enum

from pytorch_metric_learning import losses
from pytorch_metric_learning.losses import BaseMetricLossFunction
from pytorch_metric_learning.reducers import PerAnchorReducer

from pml_aug.losses.introspective_softmax_loss import IntrospectiveSoftmaxLoss
from pml_aug.wrappers.base import Batch, LossWrapper, innermost
from pml_aug.wrappers.embedding_expansion import EmbeddingExpansion
from pml_aug.wrappers.proxies import layout_of
from pml_aug.wrappers.proxy_synthesis import ProxySynthesis
from pml_aug.wrappers.read_tuples import check_miner_is_read


class Handover(Enum):
    """The three ways."""

    CANDIDATES = "as `ref_emb` beside the batch: the batch alone has anchors"
    ANCHORED = "in an enlarged batch whose first rows alone are anchors, by index tuples"
    SAMPLES = "in an enlarged batch, as samples like all others"


READ_TUPLES_WITHOUT_REF = (losses.HistogramLoss, losses.ThresholdConsistentMarginLoss)
RANK_THE_BATCH = (losses.FastAPLoss, losses.PNPLoss, losses.RankedListLoss, losses.SmoothAPLoss)


def handover_of(loss: BaseMetricLossFunction) -> Handover:
    """The way that suits `loss`, or the loss inside it.

    Losses with proxies or weights of their classes, and those that rank all rows of a batch, know no anchors beside
    samples. Some losses read index tuples, but look up positives and negatives in the batch: HistogramLoss,
    ThresholdConsistentMarginLoss, and TripletMarginLoss with `swap`.
    """
    loss = innermost(loss)
    if isinstance(loss, (IntrospectiveSoftmaxLoss, *RANK_THE_BATCH)) or layout_of(loss) is not None:
        return Handover.SAMPLES
    swaps = isinstance(loss, losses.TripletMarginLoss) and loss.swap
    if isinstance(loss, READ_TUPLES_WITHOUT_REF) or swaps:
        return Handover.ANCHORED
    return Handover.CANDIDATES


def reads_pairs_only(loss: BaseMetricLossFunction) -> bool:
    """Whether `loss` asks its distance for the matrix of batch and candidates, and reads neither of them otherwise."""
    return type(loss).compute_loss is losses.GenericPairLoss.compute_loss


def check_handover(wrapper: LossWrapper) -> None:
    """Raise a ValueError where the parts of `wrapper`, each good by itself, do not go together."""
    name, loss, outer = type(wrapper).__name__, innermost(wrapper.loss), type(wrapper.loss).__name__
    if isinstance(wrapper.loss, LossWrapper):
        if not isinstance(wrapper.loss, (EmbeddingExpansion, ProxySynthesis)):
            raise ValueError(
                f"{name} cannot wrap {outer}: of the wrappers it goes around EmbeddingExpansion and ProxySynthesis "
                f"only; put {outer} around it"
            )
        if wrapper.miner is not None:
            raise ValueError(
                f"{name} takes no `miner` around {outer}: EmbeddingExpansion mines by its own matrix, so give the "
                "miner to it, and ProxySynthesis takes none"
            )
        reason = next((wrapper.refusals[kind] for kind in type(loss).__mro__ if kind in wrapper.refusals), None)
        if isinstance(loss, losses.NCALoss) and handover_of(loss) is Handover.CANDIDATES:
            reason = f"its positives are all rows of the class, own copies too, and {outer} gives it their distances"
        if reason is not None:
            raise ValueError(f"{name} cannot wrap {type(loss).__name__} in {outer}: {reason}")
    check_miner_is_read(wrapper)
    squares = any(isinstance(module, PerAnchorReducer) for module in loss.modules())
    if squares and handover_of(loss) is not Handover.SAMPLES:
        raise ValueError(
            f"{name} cannot wrap {type(loss).__name__} with a PerAnchorReducer: it lays pairs out in a square of the "
            "batch, in which copies have no place; use another reducer"
        )


def check_batch(wrapper: LossWrapper, batch: Batch) -> None:
    """Raise a ValueError where what a call brings besides the batch does not go together with copies of it."""
    name, loss = type(wrapper).__name__, innermost(wrapper.loss)
    if batch.ref_emb is not None and handover_of(loss) is not Handover.CANDIDATES:
        raise ValueError(
            f"{name} takes no `ref_emb` around {type(loss).__name__}, which compares the batch with itself or with "
            "proxies"
        )
    if batch.ref_emb is not None and isinstance(loss, losses.LiftedStructureLoss):
        raise ValueError(
            f"{name} takes no `ref_emb` around LiftedStructureLoss, which takes positions in it for rows of the "
            "batch; use GeneralizedLiftedStructureLoss"
        )
    if batch.indices_tuple is not None and batch.ref_emb is None:
        raise ValueError(
            f"{name} takes no `indices_tuple` of the batch: mined without the copies, it leaves them out; give the "
            "miner to the wrapper instead of the trainer"
        )
    if batch.indices_tuple is not None and (wrapper.miner or getattr(wrapper.loss, "miner", None)):
        raise ValueError(
            f"{name} takes no `indices_tuple` beside a miner of its own: the two would choose apart; give the miner to "
            "the caller, such as CrossBatchMemory, or leave `indices_tuple` out"
        )
