"""One training put together: parts, images, trainer, evaluation, records, checkpoints."""

import math
import shutil
import time

import torch
from pytorch_metric_learning.utils import logging_presets
from torch import nn
from tqdm import tqdm

from ..build import build, make_hook, make_trainer
from ..config import RunConfig
from ..datasets import ImageArrays
from ..protocol import Split
from ..records import RunFolder
from ..seeds import seed_shared_generators, stream_seed
from . import checkpoint
from .evaluation import Evaluation
from .gallery import gallery_queries
from .images import MemoryImages, ShiftedImages, keep_batch
from .sampler import EpochSampler
from .selection import best_epoch
from .trainer import Trainer


class Training:
    """Trains and evaluates when :meth:`run` is called; continues from the folder's checkpoint where there is one.

    Four things are random, each from its own stream of the run's seed: the initial weights, the batches of each
    epoch, the image augmentation of each epoch, and PyTorch's shared generator, which is the method's.

    Attributes:
        trainer: knows the seconds spent in iterations.
        evaluation: knows the history and the test queries' scores at the chosen epoch.
    """

    def __init__(
        self,
        config: RunConfig,
        data: ImageArrays,
        split: Split,
        device: torch.device,
        folder: RunFolder,
        progress: tqdm,
    ) -> None:
        self.protocol = config.protocol
        self.iterations_per_epoch = config.protocol.iterations(len(split.train))
        self.folder = folder
        self.progress = progress
        # labels of the training images become 0 to C - 1, as proxies count them
        train_labels = torch.from_numpy(data.labels[split.train]).unique(return_inverse=True)[1].numpy()
        self.parts = build(config, int(train_labels.max()) + 1, data.images.shape[3], device)
        seed_shared_generators(stream_seed(config.seed, "method"))

        if not folder.checkpoint.exists():
            for left_over in (folder.records, folder.tensorboard):
                shutil.rmtree(left_over, ignore_errors=True)
        self.record_keeper, _, self.tensorboard = logging_presets.get_record_keeper(
            str(folder.records), str(folder.tensorboard)
        )
        hooks = logging_presets.get_hook_container(
            self.record_keeper, save_models=False, log_freq=self.iterations_per_epoch
        )
        val, test = (MemoryImages(data.images[rows], data.labels[rows], device) for rows in (split.val, split.test))
        queries = torch.from_numpy(gallery_queries(data, split.test, config.fold))
        self.evaluation = Evaluation(val, test, queries, device, record=hooks.end_of_testing_hook)
        self.trainer = make_trainer(
            config,
            Trainer,
            progress=progress,
            **self.parts._asdict(),
            batch_size=self.protocol.batch_size,
            dataset=ShiftedImages(
                data.images[split.train],
                train_labels,
                device,
                config.protocol.train_images.get("max_shift", 0.0),
                config.seed,
            ),
            sampler=EpochSampler(
                train_labels,
                config.loss.images_per_class,
                self.protocol.batch_size,
                self.iterations_per_epoch,
                config.seed,
            ),
            collate_fn=keep_batch,
            dataloader_num_workers=0,
            iterations_per_epoch=self.iterations_per_epoch,
            data_device=device,
            end_of_iteration_hook=hooks.end_of_iteration_hook,
            end_of_epoch_hook=make_hook(config, then=self.end_of_epoch),
        )

    def run(self) -> None:
        epoch = 0
        if self.folder.checkpoint.exists():
            epoch = checkpoint.load(
                self.folder.checkpoint, self.parts, self.trainer, self.evaluation, self.folder.records
            )
            self.progress.update(epoch * self.iterations_per_epoch)
        else:
            self.evaluate(epoch, loss=None)
        if self.goes_on(epoch):
            self.trainer.train(start_epoch=epoch + 1, num_epochs=self.protocol.epochs)
        self.tensorboard.close()

    def end_of_epoch(self, trainer: Trainer) -> bool:
        """Whether to go on: PML's ``end_of_epoch_hook``."""
        trainer.seconds += time.perf_counter() - trainer.epoch_ended  # what the method's own hook took
        if not math.isfinite(trainer.epoch_loss):
            raise FloatingPointError(f"the loss became {trainer.epoch_loss} in epoch {trainer.epoch}")
        if trainer.epoch % self.protocol.evaluate_every == 0 or trainer.epoch == self.protocol.epochs:
            self.evaluate(trainer.epoch, trainer.epoch_loss)
        return self.goes_on(trainer.epoch)

    def evaluate(self, epoch: int, loss: float | None) -> None:
        """Score the model, write the records, and save everything."""
        models: dict[str, nn.Module] = self.parts.models
        with torch.random.fork_rng():  # data loaders draw from the shared generator, which is the method's
            self.evaluation(epoch, epoch * self.iterations_per_epoch, loss, models)
        self.record_keeper.save_records()
        checkpoint.save(self.folder.checkpoint, epoch, self.parts, self.trainer, self.evaluation, self.folder.records)
        best = best_epoch(self.evaluation.history, "val")
        self.progress.set_postfix_str(f"val MAP@R {best['val']['mean_average_precision_at_r']:.3f}")

    def goes_on(self, epoch: int) -> bool:
        """Whether patience is left after ``epoch``."""
        waited = epoch - best_epoch(self.evaluation.history, "val")["epoch"]
        return self.protocol.patience is None or waited <= self.protocol.patience
