"""Loss of the batch of all processes, with the same synthetic points in each process."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from pytorch_metric_learning import losses
from pytorch_metric_learning.utils import distributed
from torch import Tensor

from pml_aug.to_device import to_device
from pml_aug.validation import check_integer
from pml_aug.wrappers.base import IndicesTuple, LossWrapper
from pml_aug.wrappers.fixed_attributes import FixedAttributes


class DistributedLossWrapper(FixedAttributes, distributed.DistributedLossWrapper):
    r"""PML's DistributedLossWrapper for losses that draw random numbers or depend on the order of the batch.

    Every process computes the loss of the whole batch and differentiates its own part of it, as with PML's wrapper.
    Differences: each process has the batch in the order of the ranks (PML puts a process's own part first), and all
    processes draw the same random numbers, from a shared generator for the wrappers of pml_aug and from torch's global
    generator, which has the same state in all processes during a call, for the losses and miners of PML. So all
    processes make the same synthetic points, and with P processes, loss L and parameters :math:`\theta`

    .. math:: \frac{1}{P} \sum_{p=1}^P \nabla_\theta L_p = \nabla_\theta L

    where :math:`\nabla_\theta L_p` is the gradient in process p and the right side that of a single process with the
    whole batch. This holds for the network, whose gradients DistributedDataParallel averages, and for the parameters of
    the loss, such as proxies, whose gradient is the same in all processes (PML multiplies it by P): if they start
    equal, they stay equal.

    Args:
        loss: a PML loss or a wrapper around one.
        seed: seed of the random numbers, at least 0; the same in all processes. The state of the generators is part of
            the state dict.

    Shapes:
        (N, D), (N,) in each of P processes -> the output of the reducer of `loss` for (P * N, D), (P * N,)

    Raises:
        TypeError: `loss` is not a PML loss; `seed` is not an integer.
        ValueError: in a call, `indices_tuple` or `enqueue_mask`, which refer to rows of one process; `ref_emb` or
            `ref_labels` around a memory.
        AttributeError: a later assignment to `efficient`, or to an attribute that only the wrapped loss has.

    Source: PML's utils/distributed.py, without `efficient=True`, where the anchors differ between processes.

    Example:
        >>> from pytorch_metric_learning.losses import ContrastiveLoss
        >>> DistributedLossWrapper(ContrastiveLoss())(torch.eye(2), torch.tensor([0, 0])).ndim  # one process
        0
    """

    fixed: ClassVar[frozenset[str]] = frozenset({"efficient"})

    def __init__(self, loss: torch.nn.Module, seed: int = 0) -> None:
        check_integer("seed", seed, minimum=0)
        super().__init__(loss)
        self.generator = torch.Generator().manual_seed(seed)
        self.global_seeds = torch.Generator().manual_seed(seed + 1)  # for torch's global generator
        self.fix_attributes()

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
            labels: (N,), integers; None for losses without labels.
            indices_tuple: refused; pass the miner to the wrapped loss.
            ref_emb: (R, D), this process's part.
            ref_labels: (R,), integers.
            enqueue_mask: refused.
        """
        if indices_tuple is not None or enqueue_mask is not None:
            raise ValueError(
                "DistributedLossWrapper takes no `indices_tuple` and no `enqueue_mask`, which refer to rows of one "
                "process; pass the miner to the wrapped loss"
            )
        remembers = isinstance(self.loss, losses.CrossBatchMemory)
        if remembers and (ref_emb is not None or ref_labels is not None):
            raise ValueError(
                "DistributedLossWrapper takes no `ref_emb` and no `ref_labels` around CrossBatchMemory, which compares "
                "with what it stores"
            )
        draws_itself = isinstance(self.loss.loss if remembers else self.loss, LossWrapper)
        random_inputs: dict[str, Any] = {"generator": self.generator} if draws_itself else {}
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
        with self._shared_global_state(embeddings):
            return self.loss(rows, classes, None, *([] if remembers else reference), **random_inputs)

    @contextmanager
    def _shared_global_state(self, embeddings: Tensor) -> Iterator[None]:
        """Give torch's global generator the same state in all processes inside the block, and restore it on exit."""
        seed = int(torch.randint(2**62, (), generator=self.global_seeds))
        devices = [embeddings.device] if embeddings.is_cuda else []
        with torch.random.fork_rng(devices):
            for generator in (torch.default_generator, *(torch.cuda.default_generators[at.index] for at in devices)):
                generator.manual_seed(seed)
            yield

    def get_extra_state(self) -> Tensor:
        """The states of both generators, for `state_dict`: (2, bytes), uint8."""
        return torch.stack([self.generator.get_state(), self.global_seeds.get_state()])

    def set_extra_state(self, state: Tensor) -> None:
        """Set the states of both generators, from `load_state_dict`."""
        for generator, its_state in zip((self.generator, self.global_seeds), state.cpu(), strict=True):
            generator.set_state(its_state.clone())  # torch reads from the start of the storage


def _in_rank_order(rows: Tensor, world_size: int) -> Tensor:
    """The rows of all processes. The gradient reaches this process's rows, multiplied by the number of processes."""
    parts = [torch.empty_like(rows) for _ in range(world_size)]
    torch.distributed.all_gather(parts, rows.detach().contiguous())
    if rows.requires_grad:
        rows = rows.view_as(rows)
        rows.register_hook(lambda gradient: gradient * world_size)
    parts[torch.distributed.get_rank()] = rows
    return torch.cat(parts)
