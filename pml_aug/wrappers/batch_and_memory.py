"""The loss of the batch plus, after a warm-up, the loss between the batch and a memory of earlier batches."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from pytorch_metric_learning.losses import BaseMetricLossFunction
from pytorch_metric_learning.miners import BaseMiner
from torch import Tensor

from pml_aug.patching import patched
from pml_aug.validation import check_integer, check_number
from pml_aug.wrappers.base import IndicesTuple, LossWrapper, innermost
from pml_aug.wrappers.cross_batch_memory import CrossBatchMemory
from pml_aug.wrappers.terms import Term, weighted_sum, without_regularizers


class BatchAndMemory(CrossBatchMemory):
    r"""Cross-batch memory as it is trained with in its paper: beside the loss of the batch, after a warm-up.

    .. math:: L = \ell(x, x) + w\, \ell(x, \text{memory}) \quad \text{in the training calls after the first } W

    During the warm-up it is the baseline loss and nothing is stored, since the embeddings of a network that changes
    quickly are soon out of date. In evaluation mode it is the baseline loss, too. Regularizers of the loss count once.

    Args:
        loss: a PML loss that takes `ref_emb`, or a wrapper around one, which augments both terms.
        embedding_size: D, width of the embeddings, at least 1.
        memory_size: length of the queue, at least the size of a batch.
        miner: mines in the batch, and between batch and queue; None uses all pairs. That of a wrapper is given to the
            wrapper.
        warm_up: W, training calls without the memory, at least 0.
        memory_weight: w, at least 0.
        kwargs: for PML's CrossBatchMemory: collect_stats.

    Shapes:
        (N, D), (N,) -> the output of the reducer of the loss

    Raises:
        TypeError: `loss` or `miner` is not a PML loss or miner; a number of another type.
        ValueError: as for :class:`CrossBatchMemory`; a miner for a wrapper that has none.

    Source: Wang et al., "Cross-Batch Memory for Embedding Learning", CVPR 2020; github.com/msight-tech/research-xbm,
    engine/trainer.py: 1,000 steps of warm-up in the published configuration, weight 1. Deviations: as for
    :class:`CrossBatchMemory`; an anchor's own copy in the queue is left out by its place, where the official losses
    leave out all pairs with a similarity of 1; when the last places of the queue are too few for a batch, the rest of
    it goes to the first ones, where the official code overwrites the newest rows.

    Example:
        >>> from pytorch_metric_learning.losses import ContrastiveLoss
        >>> loss = BatchAndMemory(ContrastiveLoss(), embedding_size=2, memory_size=4, warm_up=1)
        >>> labels = torch.tensor([0, 1])
        >>> [loss(rows, labels).item() for rows in (torch.eye(2), -torch.eye(2), torch.eye(2))]
        [0.0, 0.0, 2.0]
    """

    def __init__(
        self,
        loss: BaseMetricLossFunction,
        embedding_size: int,
        memory_size: int = 1024,
        miner: BaseMiner | None = None,
        warm_up: int = 1000,
        memory_weight: float = 1.0,
        **kwargs: Any,
    ) -> None:
        check_integer("warm_up", warm_up, minimum=0)
        check_number("memory_weight", memory_weight, minimum=0)
        mining = _mining_wrapper(loss)
        if mining is None and isinstance(loss, LossWrapper) and miner is not None:
            raise ValueError(f"pass the miner to {type(loss).__name__}, so that it mines in the batch, too")
        if mining is not None and miner is not None:
            raise ValueError(f"pass a miner to BatchAndMemory or to {type(mining).__name__}, but got one for each")
        miner = miner if mining is None else mining.miner
        with _without_mining(loss):
            super().__init__(loss, embedding_size, memory_size, miner, **kwargs)
        self.warm_up = warm_up
        self.memory_weight = memory_weight
        self.num_steps = 0  # training calls so far
        self.add_to_recordable_attributes(list_of_names=["warm_up", "memory_weight"], is_stat=False)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: IndicesTuple | None = None,
        enqueue_mask: Tensor | None = None,
        **random_inputs: Any,
    ) -> Tensor:
        """The loss of the batch, and that between batch and queue.

        Args:
            embeddings: (N, D), as the network outputs them.
            labels: (N,), integers.
            indices_tuple: pairs or triplets of rows of the batch, for its own loss; None for those of the miner.
            enqueue_mask: refused: all rows are compared and enqueued.
            random_inputs: for a wrapped loss: `generator`, or recorded random inputs.
        """
        if enqueue_mask is not None:
            raise ValueError("BatchAndMemory takes no `enqueue_mask`: use CrossBatchMemory")
        if self.training:
            self.num_steps += 1
        if indices_tuple is None and self.miner is not None and not isinstance(self.loss, LossWrapper):
            indices_tuple = self.miner(embeddings, labels)
        terms = [Term("", 1, self.loss(embeddings, labels, indices_tuple, **random_inputs))]
        if self.training and self.num_steps > self.warm_up:
            with without_regularizers(innermost(self.loss)), _without_mining(self.loss):
                remembered = super().forward(embeddings, labels, **random_inputs)
            terms.append(Term("memory", self.memory_weight, remembered))
        return weighted_sum(terms)

    def prepare(self, embeddings: Tensor, labels: Tensor) -> None:
        """End the warm-up, for checks and measurements with random numbers."""
        self.num_steps = max(self.num_steps, self.warm_up)

    def get_extra_state(self) -> Tensor:
        """The position in the queue, whether it is full, and the training calls, for `state_dict`: (3,), long."""
        return torch.cat([super().get_extra_state(), torch.tensor([self.num_steps])])

    def set_extra_state(self, state: Tensor) -> None:
        """Set them, from `load_state_dict`."""
        super().set_extra_state(state[:2])
        self.num_steps = int(state[2])


def _without_mining(loss: BaseMetricLossFunction) -> AbstractContextManager[None]:
    """Let no wrapper mine inside the block: the memory forms the pairs."""
    mining = _mining_wrapper(loss)
    return nullcontext() if mining is None else patched(mining, miner=None)


def _mining_wrapper(loss: BaseMetricLossFunction) -> LossWrapper | None:
    """The outermost wrapper of a loss that has a miner; None if there is none."""
    while isinstance(loss, LossWrapper):
        if loss.miner is not None:
            return loss
        loss = loss.loss
    return None
