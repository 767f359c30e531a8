"""Which losses read no index tuples, so that a miner has no place beside them."""

from pytorch_metric_learning import losses

from pml_aug.losses.introspective_softmax_loss import IntrospectiveSoftmaxLoss
from pml_aug.wrappers.base import LossWrapper, innermost

READ_NO_TUPLES = (IntrospectiveSoftmaxLoss, losses.P2SGradLoss, losses.PNPLoss, losses.RankedListLoss)


def check_miner_is_read(wrapper: LossWrapper) -> None:
    """Raise a ValueError where the loss inside `wrapper` would not read what its miner finds."""
    if wrapper.miner is not None and isinstance(innermost(wrapper.loss), READ_NO_TUPLES):
        raise ValueError(
            f"{type(wrapper).__name__} takes no `miner` around {type(wrapper.loss).__name__}, which reads no index "
            "tuples: leave it out"
        )
