"""The processes of one training that torchrun started: batches, gradients, objects and the loss that they share."""

import gc
import inspect
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from pml_aug.wrappers import DistributedLossWrapper
from pml_aug.wrappers.base import Batch, LossWrapper

from .build import Parts

TIMEOUT = timedelta(days=1)  # the others wait while the main process waits for the lock of the run
# the option's name in the installed version of PyTorch; buffers are sent once per epoch, in `broadcast_buffers`
SYNC_BUFFERS = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in inspect.signature(DistributedDataParallel).parameters
)
Value = TypeVar("Value")


class ProcessGroup:
    """This process among those of a training; by default the only one.

    Args:
        rank: number of this process; process 0 is the main process, which writes.
        size: number of processes.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size
        self.pending: list[tuple[distributed.Work, Tensor]] = []

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def local_shard(self, batch: Tensor) -> Tensor:
        """The rows of a batch for this process: (N, ...) -> (N / size, ...), where size divides N."""
        return batch if self.size == 1 else batch.chunk(self.size)[self.rank]

    def broadcast_object(self, value: Value) -> Value:
        """The value of the main process, in every process; all must call it."""
        if self.size == 1:
            return value
        objects = [value]
        distributed.broadcast_object_list(objects, src=0)
        return objects[0]

    def gather(self, part: Tensor) -> list[Tensor]:
        """The tensors of all processes, which have the shape of this one's, in the order of their ranks."""
        parts = [torch.empty_like(part) for _ in range(self.size)]
        distributed.all_gather(parts, part)
        return parts

    def shares(self, length: int, unit: int) -> list[slice]:
        """Consecutive parts of a length, one for each process; all but the last of whole units.

        Example:
            >>> ProcessGroup(size=3).shares(10, unit=2)
            [slice(0, 4, None), slice(4, 8, None), slice(8, 10, None)]
        """
        most = -(-length // unit)
        ends = [min(length, unit * -(-most * rank // self.size)) for rank in range(self.size + 1)]
        return [slice(*pair) for pair in pairwise(ends)]

    def fill_in(self, whole: Tensor, shares: list[slice]) -> None:
        """Complete a tensor of which each process has its own share of the rows."""
        for rank, share in enumerate(shares if self.size > 1 else ()):
            if share.start < share.stop:
                distributed.broadcast(whole[share], src=rank)

    def replica(self, model: nn.Module) -> nn.Module:
        """The model, with gradients that are averaged over the processes in each backward pass.

        It is the model itself where there is nothing to average. Else it is PyTorch's, which sends many gradients at
        once while others are being computed: two processes with a small network spend half as long on it as with a hook
        for each gradient, and get the same numbers. It holds the same weights; what is saved is the model itself.
        """
        if self.size == 1 or not any(weight.requires_grad for weight in model.parameters()):
            return model
        # static_graph: which weights a step uses is found in the first one, since some networks have idle weights
        options: dict[str, Any] = {"static_graph": True, SYNC_BUFFERS: False}
        return DistributedDataParallel(model, **options)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Register hooks, so that backward passes followed by :meth:`wait` average the gradients over the processes.

        For the weights of losses, such as proxies, which are few and of no model: see :meth:`replica`.
        """
        if self.size > 1:
            for parameter in parameters:
                parameter.register_post_accumulate_grad_hook(self._send)

    def wait(self) -> None:
        """Wait for the gradients that are being sent."""
        for work, _ in self.pending:
            work.wait()
        self.pending.clear()

    def broadcast_buffers(self, models: Mapping[str, nn.Module]) -> None:
        """Copy the buffers of the main process, such as BatchNorm's running statistics, to all processes."""
        if self.size > 1:
            for model in models.values():
                for buffer in model.buffers():
                    distributed.broadcast(buffer, src=0)

    def _send(self, parameter: Tensor) -> None:
        assert parameter.grad is not None
        parameter.grad /= self.size  # gloo has no average
        work = distributed.all_reduce(parameter.grad, async_op=True)
        self.pending.append((work, parameter.grad))


ALONE = ProcessGroup()


def started_by_torchrun() -> bool:
    return distributed.is_available() and distributed.is_torchelastic_launched()


def is_main_process() -> bool:
    """Whether this process prints to the terminal."""
    return not started_by_torchrun() or os.environ["RANK"] == "0"


@contextmanager
def process_group(device: torch.device) -> Iterator[tuple[ProcessGroup, torch.device]]:
    """The processes that torchrun started and the device of this one; without torchrun, one process on ``device``.

    Processes communicate by nccl on CUDA, where each gets the GPU of its local rank, else by gloo.
    """
    if not started_by_torchrun():
        yield ALONE, device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield ProcessGroup(distributed.get_rank(), distributed.get_world_size()), device
    finally:
        distributed.destroy_process_group()
        # cycles of replicas still hold the group, whose threads would abort an interpreter that ends before they do
        gc.collect()


class MinedLoss(LossWrapper):
    """A loss on the tuples that its own miner finds, as a trainer would find them for it."""

    def wrapped(self, batch: Batch, **random_inputs: Any) -> Tensor:
        assert self.miner is not None
        found = self.miner(batch.embeddings, batch.labels)
        passed_on = random_inputs if isinstance(self.loss, LossWrapper) else {}
        return self.loss(batch.embeddings, batch.labels, found, batch.ref_emb, batch.ref_labels, **passed_on)


def share_loss(parts: Parts, seed: int) -> tuple[Parts, DistributedLossWrapper]:
    """The parts with a loss that gathers, and mines in, the batch of all processes; and that loss.

    Args:
        parts: of this process.
        seed: of the generator that all processes share.
    """
    loss: nn.Module = parts.loss_funcs["metric_loss"]
    if "tuple_miner" in parts.mining_funcs:
        loss = MinedLoss(loss, parts.mining_funcs["tuple_miner"])
    shared = DistributedLossWrapper(loss, seed)
    return parts._replace(loss_funcs={"metric_loss": shared}, mining_funcs={}), shared
