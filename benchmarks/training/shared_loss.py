"""A training's loss on the batch of all its processes."""

from typing import Any

from torch import Tensor, nn

from benchmarks.training.build import Parts
from pml_aug.wrappers import DistributedLossWrapper
from pml_aug.wrappers.base import Batch, LossWrapper


class Mined(LossWrapper):
    """A loss on the tuples that its own miner finds, as a trainer would find them for it."""

    def wrapped(self, batch: Batch, **random_inputs: Any) -> Tensor:
        assert self.miner is not None
        found = self.miner(batch.embeddings, batch.labels)
        passed_on = random_inputs if isinstance(self.loss, LossWrapper) else {}
        return self.loss(batch.embeddings, batch.labels, found, batch.ref_emb, batch.ref_labels, **passed_on)


def share_loss(parts: Parts, seed: int) -> tuple[Parts, DistributedLossWrapper]:
    """The parts with a loss that gathers, and mines in, the batch of all processes; and that loss.

    Args:
        seed: of the generator that all processes share.
    """
    loss: nn.Module = parts.loss_funcs["metric_loss"]
    if "tuple_miner" in parts.mining_funcs:
        loss = Mined(loss, parts.mining_funcs["tuple_miner"])
    shared = DistributedLossWrapper(loss, seed)
    return parts._replace(loss_funcs={"metric_loss": shared}, mining_funcs={}), shared
