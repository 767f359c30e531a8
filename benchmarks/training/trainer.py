"""PML's trainers with reproducible epochs, checks of each epoch and a single progress bar."""

import math
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from pytorch_metric_learning.trainers import BaseTrainer, MetricLossOnly
from torch import Tensor, nn
from tqdm import tqdm

from pml_aug.trainers import IntrospectiveTrainer

from ..errors import TrainingError
from .activity import DIVERGED, LearningSignal, MethodActivity
from .distributed import ALONE, ProcessGroup
from .precision import autocast, is_compiled, uncompiled


class EpochTrainer(BaseTrainer):
    """Mixin for PML's trainers; it comes before one of them in the list of base classes.

    Each epoch passes its number to the sampler and the data set and starts a new iterator, so that its batches and its
    image augmentation do not depend on the epochs before. Loss and miner get float32. The loop waits for the device
    once per epoch; a loss or miner that looks for pairs may wait in each step.

    Args:
        progress: counts steps.
        precision: of trunk and embedder, "float32" or "bfloat16".
        warmup_epochs: number of first epochs in which the trunk is frozen.
        processes: that share the batches; each gets its part of every batch, in their order.
        **trainer: arguments of PML's trainer.
    """

    dataloader_iter: Iterator[Any]
    models: dict[str, nn.Module]  # replicas, while there are several processes

    def __init__(
        self,
        *,
        progress: tqdm,
        precision: str = "float32",
        warmup_epochs: int = 0,
        processes: ProcessGroup = ALONE,
        **trainer: object,
    ) -> None:
        super().__init__(**trainer)
        self.processes = processes
        self.originals = dict(self.models)
        self.replicas: dict[str, nn.Module] = {}  # of those that train
        self.warmup_epochs = warmup_epochs
        self.trunk_weights = list(filter(_is_trained, self.models["trunk"].parameters()))
        self.progress = progress
        self.precision = precision
        self.activity = MethodActivity(self.loss_funcs["metric_loss"])
        self.signal = LearningSignal(self.loss_funcs, self.mining_funcs)
        self.seconds = 0.0  # of all steps and of the hook of the method, without evaluation
        self.epoch_seconds = 0.0  # of the steps of the last epoch
        self.epoch_ended = 0.0  # end of its last step, by `time.perf_counter`
        self.epoch_loss = 0.0  # mean over its steps

    def modify_schema(self) -> None:
        super().modify_schema()
        # PML warns of models without an optimizer, and those that are frozen or have no weights need none
        trained = [name for name, model in self.models.items() if any(map(_is_trained, model.parameters()))]
        self.schema["optimizers"].important = [f"{name}_optimizer" for name in trained]

    def train(self, start_epoch: int = 1, num_epochs: int = 1) -> None:
        for self.epoch in range(start_epoch, num_epochs + 1):
            self.sampler.start_epoch(self.epoch)
            self.dataset.start_epoch(self.epoch)
            self.initialize_dataloader()
            self.dataloader_iter = self.dataset.ahead(self.dataloader_iter)
            self.set_to_train()
            self.signal.start_epoch()
            total_loss = torch.zeros((), device=self.data_device)
            started = time.perf_counter()
            for iteration in range(self.iterations_per_epoch):
                self.iteration = iteration
                if is_compiled(self.originals["trunk"]):
                    torch.compiler.cudagraph_mark_step_begin()  # the features of the last step may be overwritten
                self.step()
                total_loss += self.losses["total_loss"].detach()
                self.end_of_iteration_hook(self)
                self.step_lr_schedulers(end_of_epoch=False)
                self.progress.update()
            # waits for the device, so that the time is that of the computation
            self.epoch_loss = total_loss.item() / self.iterations_per_epoch
            self.epoch_ended = time.perf_counter()
            self.epoch_seconds = self.epoch_ended - started
            self.seconds += self.epoch_seconds
            self.check_epoch()
            self.step_lr_schedulers(end_of_epoch=True)
            self.zero_losses()
            self.processes.broadcast_buffers(self.models)
            with uncompiled(self.originals["trunk"]):  # evaluation and hooks use batches of other sizes
                goes_on = self.end_of_epoch_hook(self)
            if goes_on is False:
                break

    def step(self) -> None:
        """Train on one batch.

        Raises:
            TrainingError: a part of the training raised because the embeddings had become NaN or infinite.
        """
        try:
            self.forward_and_backward()
        except (ValueError, RuntimeError) as error:
            if self.signal.diverged():
                raise TrainingError(
                    f"the embeddings became NaN or infinite in epoch {self.epoch}; {DIVERGED}"
                ) from error
            raise
        self.activity.count()
        self.signal.add_loss(self.losses["total_loss"])

    def check_epoch(self) -> None:
        """Check that the epoch which has just ended was of use; log a later one in which nothing was left to learn.

        Raises:
            TrainingError: the loss or an embedding was NaN or infinite; nothing was learned in the first epoch.
        """
        if not math.isfinite(self.epoch_loss):
            raise TrainingError(f"the loss became {self.epoch_loss} in epoch {self.epoch}; {DIVERGED}")
        if self.signal.diverged():
            raise TrainingError(f"the embeddings became NaN or infinite in epoch {self.epoch}; {DIVERGED}")
        missing = self.signal.missing()
        if missing is None:
            return
        if self.epoch == 1:
            raise TrainingError(
                f"{missing} of epoch 1, so nothing was learned: a batch must hold several classes and, for losses "
                "of pairs, several images per class (protocol.batch_size, loss.images_per_class), and some pairs must "
                "pass the thresholds of the loss and its miner (loss.criterion, loss.miner)"
            )
        self.progress.write(f"{missing} of epoch {self.epoch}: nothing was left to learn", file=sys.stderr)

    def state_dict(self) -> dict[str, Any]:
        """Counts of the training so far; models and optimizers are not part of it."""
        return {"seconds": self.seconds, "activity": self.activity.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.seconds = state["seconds"]
        self.activity.load_state_dict(state["activity"])

    def set_to_train(self) -> None:
        super().set_to_train()
        if not self.trunk_weights:  # frozen as a whole: no dropout, and BatchNorm keeps its statistics
            self.models["trunk"].eval()
        if self.warmup_epochs:
            for weight in self.trunk_weights:
                weight.requires_grad_(self.epoch > self.warmup_epochs)
        self.models = {name: self._to_train(name) for name in self.originals}

    def _to_train(self, name: str) -> nn.Module:
        """A model or, if it trains, its replica."""
        original = self.originals[name]
        if not any(map(_is_trained, original.parameters())):
            return original
        if name not in self.replicas:
            self.replicas[name] = self.processes.replica(original)
        return self.replicas[name]

    def get_batch(self) -> tuple[Tensor, Tensor]:
        # PML's method would copy the labels to the host and wait, to map labels that are mapped already
        data, labels = next(self.dataloader_iter)
        return self.processes.local_shard(data), self.processes.local_shard(labels)

    def backward(self) -> None:
        super().backward()
        self.processes.wait()

    def compute_embeddings(self, data: Tensor) -> Tensor:
        with autocast(self.precision, self.data_device):
            embeddings = super().compute_embeddings(data).float()
        self.signal.add_embeddings(embeddings)
        return embeddings


def _is_trained(weight: Tensor) -> bool:
    return weight.requires_grad


class Trainer(EpochTrainer, MetricLossOnly):
    """PML's MetricLossOnly with reproducible epochs."""


class MixupTrainer(EpochTrainer, IntrospectiveTrainer):
    """pml_aug's IntrospectiveTrainer with reproducible epochs; the head need not be introspective."""
