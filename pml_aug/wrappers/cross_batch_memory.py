"""PML's memory of embeddings from earlier batches, also for wrapped losses, with its position in the state dict."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from pytorch_metric_learning import losses
from pytorch_metric_learning.losses import BaseMetricLossFunction
from pytorch_metric_learning.miners import BaseMiner
from pytorch_metric_learning.reducers import PerAnchorReducer
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu
from pytorch_metric_learning.utils.common_functions import concatenate_indices_tuples
from torch import Tensor

from pml_aug.distances.introspective_base import check_introspective
from pml_aug.host import refuse
from pml_aug.miners.expansion_miner import ExpansionMiner
from pml_aug.to_device import to_device
from pml_aug.validation import check_integer, checked_rows, exclusive, is_finite
from pml_aug.wrappers.base import IndicesTuple, LossWrapper
from pml_aug.wrappers.fixed_attributes import FixedAttributes
from pml_aug.wrappers.pooled_points_wrapper import PooledPointsWrapper
from pml_aug.wrappers.workarounds import with_workarounds


class Queue(NamedTuple):
    """The state of a memory."""

    embeddings: Tensor  # (memory_size, D)
    labels: Tensor  # (memory_size,)
    position: int  # of the next row
    is_full: bool  # whether every row has been written


class CrossBatchMemory(FixedAttributes, losses.CrossBatchMemory):
    r"""A loss that compares each batch with a queue of the embeddings of this batch and of earlier ones.

    The embeddings of the batch enter the queue first, as the network outputs them; synthetic points are generated in
    each call and never stored. An anchor is not paired with its own copy in the queue. Stored embeddings get no
    gradient. A call that fails or whose loss is not finite leaves the queue unchanged. Half precision is converted to
    float32, and autocast is disabled inside, as in every wrapper.

    Args:
        loss: a PML loss that takes `ref_emb`, or a wrapper around one. EmbeddingExpansion makes points between stored
            embeddings too.
        embedding_size: D, width of the embeddings, at least 1.
        memory_size: length of the queue, at least the size of a batch.
        miner: mines between batch and queue; None uses all pairs. If the loss contains an EmbeddingExpansion, it mines
            by the distances of the expansion. The miner may be given to the EmbeddingExpansion instead.
        kwargs: for PML's CrossBatchMemory: collect_stats.

    Shapes:
        (N, D), (N,) -> the output of the reducer of the loss

    Raises:
        TypeError: `loss` or `miner` is not a PML loss or miner; a size that is not an integer.
        ValueError: an argument out of range; a loss that cannot compare a batch with a memory; a second miner; in a
            call, more rows than the memory holds, rows of another width, or `indices_tuple` beside `enqueue_mask`.
        AttributeError: a later assignment to `loss`, `miner`, `embedding_size`, `memory_size`, or to an attribute that
            only the wrapped loss has.
        RuntimeError: in a call, another thread is using the same memory.

    Source: Wang et al., "Cross-Batch Memory for Embedding Learning", CVPR 2020, in PML's implementation. Deviations
    from PML: every loss that can compare a batch with a memory is accepted; `state_dict` contains the position in the
    queue, so that a resumed training continues exactly; `indices_tuple` refers to rows of the batch wherever they are
    in the queue; a batch of one row is not paired with itself; a mask that enqueues nothing leaves the queue unchanged;
    nothing to compare gives zero; several calls may precede one backward pass.

    Example:
        >>> memory = CrossBatchMemory(losses.ContrastiveLoss(), embedding_size=2, memory_size=4)
        >>> labels = torch.tensor([0, 1])
        >>> [memory(rows, labels).item() for rows in (torch.eye(2), -torch.eye(2))]  # opposite ends are 2 apart
        [0.0, 2.0]
    """

    fixed: ClassVar[frozenset[str]] = frozenset({"loss", "miner", "embedding_size", "memory_size"})

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
        check_integer("embedding_size", embedding_size, minimum=1)
        check_integer("memory_size", memory_size, minimum=1)
        wrappers = self._checked_wrappers(loss)
        if miner is not None and not isinstance(miner, BaseMiner):
            raise TypeError(
                "CrossBatchMemory expected argument `miner` to be a BaseMiner of pytorch-metric-learning or None, but "
                f"got {type(miner).__name__}"
            )
        super().__init__(loss, embedding_size, memory_size, _the_miner(wrappers, miner), **kwargs)
        check_introspective(self)
        self.fix_attributes()

    def _checked_wrappers(self, loss: BaseMetricLossFunction) -> list[LossWrapper]:
        """The wrappers around a loss that can compare a batch with a memory, from the outermost."""
        if not isinstance(loss, BaseMetricLossFunction):
            raise TypeError(
                "CrossBatchMemory expected argument `loss` to be a BaseMetricLossFunction of pytorch-metric-learning, "
                f"but got {type(loss).__name__}; put MultipleLosses or DistributedLossWrapper around the result"
            )
        wrappers: list[LossWrapper] = []
        while isinstance(loss, LossWrapper):
            wrappers.append(loss)
            loss = loss.loss
        names = " around ".join(type(part).__name__ for part in (*wrappers, loss))
        refuse(loss, self, f"CrossBatchMemory cannot hold {names}")
        for wrapper in wrappers:
            if not wrapper.takes_ref_emb:
                raise ValueError(
                    f"CrossBatchMemory cannot hold {names}: {type(wrapper).__name__} compares with rows of the batch "
                    "alone; put CrossBatchMemory around the baseline loss"
                )
        if any(isinstance(module, PerAnchorReducer) for module in loss.modules()):
            raise ValueError(
                f"CrossBatchMemory cannot hold {names}: its PerAnchorReducer lays pairs out in a square of the batch, "
                "which has no place for the memory"
            )
        return wrappers

    @classmethod
    def check_loss_support(cls, loss_name: str) -> None:
        """Accept every name: the constructor has checked the loss itself, also inside wrappers."""

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: IndicesTuple | None = None,
        enqueue_mask: Tensor | None = None,
        **random_inputs: Any,
    ) -> Tensor:
        """The loss between the batch and the queue.

        Args:
            embeddings: (N, D), as the network outputs them.
            labels: (N,), integers.
            indices_tuple: pairs or triplets of rows of the batch, added to those between batch and queue.
            enqueue_mask: (N,), bool: True for rows to enqueue, False for anchors. None enqueues all rows and uses all
                as anchors.
            random_inputs: for a wrapped loss: `generator`, or recorded random inputs.
        """
        with exclusive(self):
            before = Queue(self.embedding_memory, self.label_memory, self.queue_idx, self.has_been_filled)
            keep = False
            try:
                loss = self._compare(embeddings, labels, indices_tuple, enqueue_mask, random_inputs)
                keep = not isinstance(loss, Tensor) or is_finite(loss.detach())
            finally:
                if not keep:
                    self._restore(before)
            return loss

    def _restore(self, queue: Queue) -> None:
        self.embedding_memory, self.label_memory, self.queue_idx, self.has_been_filled = queue

    def _compare(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: IndicesTuple | None,
        enqueue_mask: Tensor | None,
        random_inputs: dict[str, Any],
    ) -> Tensor:
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
            # out of place: the graph of an earlier call may still need the queue for its backward pass
            self.embedding_memory, self.label_memory = self.embedding_memory.clone(), self.label_memory.clone()
            self.add_to_memory(enqueued, enqueued_labels, len(enqueued))
        stored = self.memory_size if self.has_been_filled else self.queue_idx
        if len(anchors) == 0 or stored == 0:
            return torch.sum(embeddings * 0)

        memory = self.embedding_memory[:stored], self.label_memory[:stored]
        with torch.autocast(embeddings.device.type, enabled=False), with_workarounds(self.loss):
            tuples = self.create_indices_tuple(anchors, anchor_labels, *memory, indices_tuple, enqueue_mask is None)
            return self.loss(anchors, anchor_labels, tuples, *memory, **random_inputs)

    def create_indices_tuple(
        self,
        embeddings: Tensor,
        labels: Tensor,
        E_mem: Tensor,
        L_mem: Tensor,
        input_indices_tuple: IndicesTuple | None,
        do_remove_self_comparisons: bool,
    ) -> IndicesTuple:
        """Pairs or triplets of anchors and stored rows, mined or all, followed by those given for the batch."""
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
        others = [1, 3] if len(found) == 4 else [1, 2]  # anchors remain rows of the batch
        given = tuple(self.curr_batch_idx[rows] if place in others else rows for place, rows in enumerate(given))
        return concatenate_indices_tuples(found, given)

    def get_extra_state(self) -> Tensor:
        """The position in the queue and whether it is full, for `state_dict`: (2,), long."""
        return torch.tensor([self.queue_idx, int(self.has_been_filled)])

    def set_extra_state(self, state: Tensor) -> None:
        """Set the position in the queue, from `load_state_dict`."""
        position, is_full = state.tolist()
        self.queue_idx, self.has_been_filled = position, bool(is_full)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        saved = state_dict.get(f"{prefix}embedding_memory")
        if saved is not None:
            self.embedding_memory = self.embedding_memory.to(saved.dtype)  # or float64 values would be rounded
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _check_batch(self, embeddings: Tensor, indices_tuple: IndicesTuple | None, enqueue_mask: Tensor | None) -> None:
        if embeddings.shape[1] != self.embedding_size:
            raise ValueError(
                f"`embeddings` must have embedding_size={self.embedding_size} columns, but got {embeddings.shape[1]}"
            )
        num_enqueued = len(embeddings)
        if enqueue_mask is not None:
            if indices_tuple is not None:
                raise ValueError("`indices_tuple` and `enqueue_mask` exclude each other: pass only one of them")
            if enqueue_mask.dtype != torch.bool or enqueue_mask.shape != embeddings.shape[:1]:
                raise ValueError(
                    f"`enqueue_mask` must be bool of shape ({len(embeddings)},), one for each row, but got "
                    f"{enqueue_mask.dtype} of shape {tuple(enqueue_mask.shape)}"
                )
            num_enqueued = int(enqueue_mask.sum())
        if num_enqueued > self.memory_size:
            raise ValueError(
                f"cannot enqueue {num_enqueued} rows in a memory of {self.memory_size}: memory_size must be at least "
                "the size of the batch"
            )


def _the_miner(wrappers: list[LossWrapper], miner: BaseMiner | None) -> BaseMiner | None:
    """The miner between batch and queue: the memory's or the expansion's, using the distances of the expansion."""
    for wrapper in wrappers:
        if wrapper.miner is None:
            continue
        name = type(wrapper).__name__
        if miner is not None:
            raise ValueError(f"pass a miner to CrossBatchMemory or to {name}, but got one for each")
        if wrapper is not wrappers[0] or not isinstance(wrapper, PooledPointsWrapper):
            raise ValueError(f"pass the miner to CrossBatchMemory, which forms the pairs, instead of {name}")
        miner = wrapper.miner
    expansion = next((wrapper.expansion for wrapper in wrappers if isinstance(wrapper, PooledPointsWrapper)), None)
    if miner is None or expansion is None:
        return miner
    by_points = ExpansionMiner(miner)
    by_points.expansion = expansion
    return by_points
