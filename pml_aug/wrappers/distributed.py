"""A loss on the batch of all processes, with the same synthetic points in each of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_metric_learning import losses
from pytorch_metric_learning.utils import distributed
from torch import Tensor

from pml_aug.to_device import to_device
from pml_aug.wrappers.base import IndicesTuple, LossWrapper


class DistributedLossWrapper(distributed.DistributedLossWrapper):
    """PML's DistributedLossWrapper for losses that draw random numbers or look at the order of the batch.

    Every process computes the loss of the whole batch and differentiates its own part, as with PML's. Here the batch
    stands in the order of the ranks in each process (PML puts a process's own part first), and wrappers draw from a
    generator that all processes share. For the length of a call so does torch's global one, from which PML's losses and
    miners draw. So all processes make the same synthetic points, and the mean of the gradients over the processes,
    which DistributedDataParallel takes, is the gradient of one process with the whole batch. That is so for the
    network and for the loss's own weights, such as proxies (PML multiplies the loss by the number of processes, and
    the gradient of proxies with it). Proxies get the same gradient in every process: started alike, they stay equal.

    Args:
        loss: a PML loss or a wrapper around one.
        seed: of what is drawn; the same in all processes. How far the drawing has come is saved in the state dict.

    Raises:
        TypeError: `loss` is none of PML's.
        ValueError: in a call, `indices_tuple` (the rows of one process name no rows of the whole batch) or
            `enqueue_mask`; `ref_emb` or `ref_labels` around a memory.

    Source: PML's utils/distributed.py, without its `efficient` form, in which each process has other anchors.

    Example:
        >>> from pytorch_metric_learning.losses import ContrastiveLoss
        >>> DistributedLossWrapper(ContrastiveLoss())(torch.eye(2), torch.tensor([0, 0])).ndim  # one process
        0
    """

    def __init__(self, loss: torch.nn.Module, seed: int = 0) -> None:
        super().__init__(loss)
        self.generator = torch.Generator().manual_seed(seed)
        self.global_seeds = torch.Generator().manual_seed(seed + 1)  # for torch's global generator

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor | None = None,
        indices_tuple: IndicesTuple | None = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
        enqueue_mask: Tensor | None = None,
    ) -> Tensor:
        """The loss of the whole batch, the same in every process.

        Args:
            embeddings: (N, D), this process's part; N is the same in all processes.
            labels: (N,), integers; for losses that take none, None.
            indices_tuple: refused; give the miner to the wrapper.
            ref_emb: (R, D), this process's part.
            ref_labels: (R,), integers.
            enqueue_mask: refused.
        """
        if indices_tuple is not None or enqueue_mask is not None:
            raise ValueError(
                "DistributedLossWrapper takes no `indices_tuple` and no `enqueue_mask`, which name rows of one process "
                "only; give the miner to the wrapped loss"
            )
        remembers = isinstance(self.loss, losses.CrossBatchMemory)
        if remembers and (ref_emb is not None or ref_labels is not None):
            raise ValueError(
                "DistributedLossWrapper takes no `ref_emb` and no `ref_labels` around CrossBatchMemory, which compares "
                "with what it holds"
            )
        draws_itself = isinstance(self.loss.loss if remembers else self.loss, LossWrapper)
        draws: dict[str, Any] = {"generator": self.generator} if draws_itself else {}
        given: tuple[Tensor | None, ...] = (embeddings, labels, ref_emb, ref_labels)
        world_size = torch.distributed.get_world_size() if distributed.is_distributed() else 1
        if world_size > 1:
            # what is one object stays one, by which losses tell that a batch is compared with itself
            parts = {id(part): part for part in given if part is not None}
            whole = {
                name: _in_rank_order(to_device(part, embeddings.device), world_size) for name, part in parts.items()
            }
            given = tuple(None if part is None else whole[id(part)] for part in given)
        rows, classes, *reference = given
        with self._shared_global_draws(embeddings):
            return self.loss(rows, classes, None, *([] if remembers else reference), **draws)

    @contextmanager
    def _shared_global_draws(self, embeddings: Tensor) -> Iterator[None]:
        """What torch's global generator draws in the block is the same in all processes, and it goes on as before."""
        seed = int(torch.randint(2**62, (), generator=self.global_seeds))
        devices = [embeddings.device] if embeddings.is_cuda else []
        with torch.random.fork_rng(devices):
            for generator in (torch.default_generator, *(torch.cuda.default_generators[at.index] for at in devices)):
                generator.manual_seed(seed)
            yield

    def get_extra_state(self) -> dict[str, Tensor]:
        return {"generator": self.generator.get_state(), "global_seeds": self.global_seeds.get_state()}

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        self.generator.set_state(state["generator"].cpu())
        self.global_seeds.set_state(state["global_seeds"].cpu())


def _in_rank_order(rows: Tensor, world_size: int) -> Tensor:
    """The rows of all processes; gradients reach this process's own, as many times over as there are processes."""
    parts = [torch.empty_like(rows) for _ in range(world_size)]
    torch.distributed.all_gather(parts, rows.detach().contiguous())
    if rows.requires_grad:
        rows = rows.view_as(rows)
        rows.register_hook(lambda gradient: gradient * world_size)
    parts[torch.distributed.get_rank()] = rows
    return torch.cat(parts)
