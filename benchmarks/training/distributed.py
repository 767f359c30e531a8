"""The processes of one training, as torchrun starts them: who this one is, and what they tell each other."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

PATIENCE = timedelta(days=1)  # with a process that evaluates, or waits for the run folder, while the others wait for it
Value = TypeVar("Value")


class Ranks:
    """This process among those of a training; with the defaults, the only one.

    Args:
        rank: its number; process 0 evaluates and writes.
        size: how many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size
        self.under_way: list[tuple[distributed.Work, Tensor]] = []

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, batch: Tensor) -> Tensor:
        """This process's rows of a batch, which has a multiple of as many rows as there are processes."""
        return batch if self.size == 1 else batch.chunk(self.size)[self.rank]

    def agree(self, value: Value) -> Value:
        """Process 0's value, in every process; all must ask."""
        if self.size == 1:
            return value
        told = [value]
        distributed.broadcast_object_list(told, src=0)
        return told[0]

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """From now on, let backward passes give the mean over the processes, once :meth:`finish` was called.

        A gradient is on its way while those of earlier layers are still worked out.
        """
        if self.size > 1:
            for parameter in parameters:
                parameter.register_post_accumulate_grad_hook(self._send)

    def finish(self) -> None:
        """Wait for the gradients that are on their way."""
        for work, _ in self.under_way:
            work.wait()
        self.under_way.clear()

    def copy_buffers(self, models: Mapping[str, nn.Module]) -> None:
        """Give every process the buffers of process 0, such as BatchNorm's running statistics."""
        if self.size > 1:
            for model in models.values():
                for buffer in model.buffers():
                    distributed.broadcast(buffer, src=0)

    def _send(self, parameter: Tensor) -> None:
        assert parameter.grad is not None
        parameter.grad /= self.size  # gloo cannot average
        work = distributed.all_reduce(parameter.grad, async_op=True)
        self.under_way.append((work, parameter.grad))


ALONE = Ranks()


def started_together() -> bool:
    """Whether torchrun started this process."""
    return distributed.is_available() and distributed.is_torchelastic_launched()


def speaks() -> bool:
    """Whether this process is the one that talks to the person at the command line."""
    return not started_together() or os.environ["RANK"] == "0"


@contextmanager
def together(device: torch.device) -> Iterator[tuple[Ranks, torch.device]]:
    """This process among those that torchrun started, and its device; without torchrun, alone on that device.

    They talk by nccl on CUDA, where each gets the GPU of its local rank, else by gloo.
    """
    if not started_together():
        yield ALONE, device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size()), device
    finally:
        distributed.destroy_process_group()
