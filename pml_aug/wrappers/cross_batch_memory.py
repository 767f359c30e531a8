"""PML's memory of embeddings from earlier batches, for wrapped losses too, and saved whole."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from pytorch_metric_learning import losses
from pytorch_metric_learning.losses import BaseMetricLossFunction
from pytorch_metric_learning.miners import BaseMiner
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu
from pytorch_metric_learning.utils.common_functions import concatenate_indices_tuples
from torch import Tensor

from pml_aug.distances.introspective_base import check_introspective
from pml_aug.miners.expansion_miner import ExpansionMiner
from pml_aug.to_device import to_device
from pml_aug.validation import checked_rows
from pml_aug.wrappers.base import IndicesTuple, LossWrapper
from pml_aug.wrappers.embedding_expansion import EmbeddingExpansion
from pml_aug.wrappers.memory_losses import wrappers_of
from pml_aug.wrappers.prepared import prepared


class CrossBatchMemory(losses.CrossBatchMemory):
    r"""A loss that compares each batch with a queue of embeddings, its own and those of earlier batches.

    The batch is written into the queue first, as the network gives it: synthetic points are made anew in each call
    and never stored. An anchor is not paired with its own copy in the queue. Stored embeddings get no gradient.
    Half precision is raised to float32, and autocast is off inside, as in every wrapper.

    Args:
        loss: a PML loss that takes `ref_emb`, or a wrapper around one. EmbeddingExpansion makes points between stored
            embeddings too.
        embedding_size: D, of the embeddings.
        memory_size: how many embeddings the queue holds, at least a batch.
        miner: mines between batch and queue; None takes every pair. Where the loss holds an EmbeddingExpansion, it
            mines by the expansion's matrix. The miner of an EmbeddingExpansion serves in its place: give it to one of
            the two.
        kwargs: of every PML module: collect_stats.

    Shapes:
        (N, D), (N,) -> what the loss's reducer gives

    Raises:
        TypeError: `loss` or `miner` is none of PML's.
        ValueError: an argument out of range; a loss that cannot compare a batch with a memory; a second miner; in a
            call, more rows than the memory holds, rows of another size, or `indices_tuple` beside `enqueue_mask`.

    Source: Wang et al., "Cross-Batch Memory for Embedding Learning", CVPR 2020, in PML's form, to which this adds:
    it takes any loss that it makes sense around; `state_dict` holds the position in the queue, so a resumed training
    goes on alike; `indices_tuple` names rows of the batch wherever in the queue the batch lies; a batch of one row is
    not paired with itself; a mask that enqueues nothing leaves the queue as it is; nothing to compare gives zero;
    several calls may come before one backward pass.

    Example:
        >>> memory = CrossBatchMemory(losses.ContrastiveLoss(), embedding_size=2, memory_size=4)
        >>> labels = torch.tensor([0, 1])
        >>> [memory(rows, labels).item() for rows in (torch.eye(2), -torch.eye(2))]  # opposite ends are 2 apart
        [0.0, 2.0]
    """

    embedding_memory: Tensor  # (memory_size, D)
    label_memory: Tensor  # (memory_size,)

    def __init__(
        self,
        loss: BaseMetricLossFunction,
        embedding_size: int,
        memory_size: int = 1024,
        miner: BaseMiner | None = None,
        **kwargs: Any,
    ) -> None:
        for name, size in {"embedding_size": embedding_size, "memory_size": memory_size}.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, but got {size}")
        wrappers = wrappers_of(loss)
        if miner is not None and not isinstance(miner, BaseMiner):
            raise TypeError(
                "CrossBatchMemory expected argument `miner` to be a BaseMiner of pytorch-metric-learning or None, but "
                f"got {type(miner).__name__}"
            )
        super().__init__(loss, embedding_size, memory_size, _the_miner(wrappers, miner), **kwargs)
        check_introspective(self)

    @classmethod
    def check_loss_support(cls, loss_name: str) -> None:
        """Passes every name: the loss itself has been looked at, whose name says too little where it is a wrapper."""

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: IndicesTuple | None = None,
        enqueue_mask: Tensor | None = None,
        **draws: Any,
    ) -> Tensor:
        """The loss between the batch and the queue.

        Args:
            embeddings: (N, D), as the network gives them.
            labels: (N,), integers.
            indices_tuple: pairs or triplets of rows of the batch, taken beside those between batch and queue.
            enqueue_mask: (N,), bool: the rows to enqueue, while the others are anchors. None enqueues all, and all
                are anchors.
            draws: for a wrapped loss: `generator`, or a recorded draw.
        """
        embeddings, labels = checked_rows(embeddings, labels, "embeddings", "labels")
        self._check_batch(embeddings, indices_tuple, enqueue_mask)
        self.reset_stats()
        labels = to_device(labels, embeddings.device)
        self.embedding_memory = self.embedding_memory.to(embeddings)
        self.label_memory = self.label_memory.to(labels)

        anchors, anchor_labels, enqueued, enqueued_labels = embeddings, labels, embeddings, labels
        if enqueue_mask is not None:
            enqueue_mask = to_device(enqueue_mask, embeddings.device)
            anchors, anchor_labels = embeddings[~enqueue_mask], labels[~enqueue_mask]
            enqueued, enqueued_labels = embeddings[enqueue_mask], labels[enqueue_mask]
        if len(enqueued) > 0:
            # not in place: the graph of an earlier call, of which the backward pass is to come, may hold the queue
            self.embedding_memory = self.embedding_memory.clone()
            self.add_to_memory(enqueued, enqueued_labels, len(enqueued))
        stored = self.memory_size if self.has_been_filled else self.queue_idx
        if len(anchors) == 0 or stored == 0:
            return torch.sum(embeddings * 0)

        memory = self.embedding_memory[:stored], self.label_memory[:stored]
        with torch.autocast(embeddings.device.type, enabled=False), prepared(self.loss):
            tuples = self.create_indices_tuple(anchors, anchor_labels, *memory, indices_tuple, enqueue_mask is None)
            return self.loss(anchors, anchor_labels, tuples, *memory, **draws)

    def create_indices_tuple(
        self,
        embeddings: Tensor,
        labels: Tensor,
        E_mem: Tensor,
        L_mem: Tensor,
        input_indices_tuple: IndicesTuple | None,
        do_remove_self_comparisons: bool,
    ) -> IndicesTuple:
        """Pairs or triplets of anchors and stored rows, mined or all, and after them those given for the batch."""
        if self.miner is None:
            found = lmu.get_all_pairs_indices(labels, L_mem)
        else:
            found = self.miner(embeddings, labels, E_mem, L_mem)
        if do_remove_self_comparisons:
            anchor, positive, *negatives = found
            kept = positive != self.curr_batch_idx[anchor]
            if len(negatives) == 1:
                negatives = [negatives[0][kept]]
            found = (anchor[kept], positive[kept], *negatives)
        if input_indices_tuple is None:
            return found
        convert = lmu.convert_to_pairs if len(found) == 4 else lmu.convert_to_triplets
        given = convert(tuple(to_device(rows, labels.device) for rows in input_indices_tuple), labels)
        others = [1, 3] if len(found) == 4 else [1, 2]  # the anchors stay rows of the batch
        given = tuple(self.curr_batch_idx[rows] if place in others else rows for place, rows in enumerate(given))
        return concatenate_indices_tuples(found, given)

    def get_extra_state(self) -> dict[str, int | bool]:
        """The position in the queue, for `state_dict`."""
        return {"queue_idx": self.queue_idx, "has_been_filled": self.has_been_filled}

    def set_extra_state(self, state: dict[str, int | bool]) -> None:
        """Takes up the position in the queue, from `load_state_dict`."""
        self.queue_idx = int(state["queue_idx"])
        self.has_been_filled = bool(state["has_been_filled"])

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        saved = state_dict.get(f"{prefix}embedding_memory")
        if saved is not None:
            self.embedding_memory = self.embedding_memory.to(saved.dtype)  # or saved float64 would be rounded
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _check_batch(self, embeddings: Tensor, indices_tuple: IndicesTuple | None, enqueue_mask: Tensor | None) -> None:
        if embeddings.shape[1] != self.embedding_size:
            raise ValueError(
                f"`embeddings` must have embedding_size={self.embedding_size} columns, but got {embeddings.shape[1]}"
            )
        num_enqueued = len(embeddings)
        if enqueue_mask is not None:
            if indices_tuple is not None:
                raise ValueError("`indices_tuple` and `enqueue_mask` exclude each other: leave one of them out")
            if enqueue_mask.dtype != torch.bool or enqueue_mask.shape != embeddings.shape[:1]:
                raise ValueError(
                    f"`enqueue_mask` must be bool of shape ({len(embeddings)},), one for each row, but got "
                    f"{enqueue_mask.dtype} of shape {tuple(enqueue_mask.shape)}"
                )
            num_enqueued = int(enqueue_mask.sum())
        if num_enqueued > self.memory_size:
            raise ValueError(
                f"cannot enqueue {num_enqueued} rows in a memory of {self.memory_size}: raise memory_size above the "
                "size of the batch"
            )


def _the_miner(wrappers: list[LossWrapper], miner: BaseMiner | None) -> BaseMiner | None:
    """The one that mines between batch and queue: the memory's or an expansion's, by the expansion's matrix."""
    for wrapper in wrappers:
        if wrapper.miner is None:
            continue
        name = type(wrapper).__name__
        if miner is not None:
            raise ValueError(f"give a miner to CrossBatchMemory or to {name}, but got one for each")
        if wrapper is not wrappers[0] or not isinstance(wrapper, EmbeddingExpansion):
            raise ValueError(f"give the miner to CrossBatchMemory, which names the pairs, instead of {name}")
        miner = wrapper.miner
    expansion = next((wrapper.expansion for wrapper in wrappers if isinstance(wrapper, EmbeddingExpansion)), None)
    if miner is None or expansion is None:
        return miner
    return ExpansionMiner(miner, **asdict(expansion))
