"""One training: its parts, images, trainer, evaluation, records and checkpoints."""

import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from pytorch_metric_learning.utils import logging_presets
from torch import nn
from tqdm import tqdm

from ..config.compose import RunConfig
from ..data import ImageArrays
from ..data.feature_arrays import FeatureArrays
from ..data.split import Split
from ..runs.schema import PRIMARY
from ..runs.writer import RunDir
from . import checkpoint
from .build import build, make_hook, make_trainer
from .distributed import ALONE, ProcessGroup, share_loss
from .evaluation import make_evaluation
from .feature_store import FeatureStore, feature_store_of
from .hyperparameters import hyperparameters, readable_name
from .images import keep_batch, training_images
from .loggers import Logger, open_logger
from .pixel_store import ImageStore, store_of
from .precision import compile_models, lay_out
from .records import open_records, write_hyperparameters
from .resources import Meter
from .sampler import EpochBatches
from .seeds import generator_states, restore_generators, seed_shared_generators, stream_seed
from .selection import chosen_entry, final_scores, scores_of
from .trainer import EpochTrainer, Trainer

SAVE_AFTER = 300.0  # seconds between checkpoints at the end of epochs that are not evaluated


class Training:
    """A training that :meth:`run` carries out, from the newest checkpoint of the run directory if there is one.

    Four things are random, each from its own stream of the seed: the initial weights, the batches of each epoch, the
    image augmentation of each epoch, and PyTorch's shared generator, from which methods draw.

    Args:
        config: of the run.
        data: images and labels.
        split: rows of the images.
        device: where to train.
        folder: run directory, prepared.
        progress: counts the steps.
        processes: that share the training.
        per_gpu: trainings that share the GPU.
        keep_weights: whether ``evaluation.weights`` are wanted after the training.
        logger: "none", or another program that gets the scores: "wandb" or "mlflow".

    Attributes:
        parts: models, losses, miners, optimizers and schedulers.
        store: of the images or features.
        trainer: knows the seconds spent in steps.
        meter: seconds and memory of the training, over all sessions.
        evaluation: history of the scores, and the scores of the test queries at the chosen epoch.
    """

    def __init__(
        self,
        config: RunConfig,
        data: ImageArrays,
        split: Split,
        device: torch.device,
        folder: RunDir,
        progress: tqdm,
        processes: ProcessGroup = ALONE,
        per_gpu: int = 1,
        keep_weights: bool = False,
        logger: str = "none",
    ) -> None:
        self.config = config
        self.protocol = config.protocol
        self.embedding_size = self.protocol.embedding_size
        self.device = device
        self.folder = folder
        self.data_hash = data.content_hash
        self.processes = processes
        self.progress = progress
        self.meter = Meter(device)
        self.iterations = self.protocol.iterations(len(split.train))
        # proxies count the classes of the training images from 0
        train_labels = torch.from_numpy(data.labels[split.train]).unique(return_inverse=True)[1].numpy()

        method_seed = stream_seed(config.seed, "method")
        self.parts = build(config, int(train_labels.max()) + 1, data.channels, device, data.image_size)
        seed_shared_generators(method_seed)
        self.shared_loss = None
        if processes is not ALONE:  # also with a single process under torchrun, so that it gives the numbers of several
            self.parts, self.shared_loss = share_loss(self.parts, method_seed)
        self.saved = processes.broadcast_object(self._newest_checkpoint() if processes.is_main else None)
        self.saved_at = time.perf_counter()
        self.logger_kind = logger
        self.logger = Logger()
        self.record_keeper: Any = None
        self.tensorboard: Any = None
        hooks = self._open_records() if processes.is_main else logging_presets.EmptyContainer()
        record, log_test = hooks.end_of_testing_hook, folder.log_test_scoring
        if not processes.is_main:  # the others only compute
            record, log_test = (lambda tester: None), (lambda epoch: None)
        self.store: ImageStore | FeatureStore
        if isinstance(data, FeatureArrays):
            self.store = feature_store_of(data, split.train, device, per_gpu)
        else:
            self.store = store_of(data, device, per_gpu)
        quiet = bool(progress.disable)
        self.evaluation = make_evaluation(
            config, data, split, self.store, device, record, log_test, keep_weights, processes, quiet
        )
        self.trainer = self._make_trainer(self.store, split, train_labels, hooks.end_of_iteration_hook)
        if device.type == "cuda":
            self.log(str(self.store))
        self._lay_out_and_compile()
        of_models = {weight for model in self.parts.models.values() for weight in model.parameters()}
        processes.average_gradients(
            weight
            for optimizer in self.parts.optimizers.values()
            for group in optimizer.param_groups
            for weight in group["params"]
            if weight not in of_models  # the trainer averages those
        )

    def run(self) -> None:
        """Train and evaluate to the end.

        Raises:
            TrainingError: the training diverged or learned nothing.
            UserError: the logger cannot begin a record.
        """
        if self.processes.is_main:
            self.logger = open_logger(self.logger_kind, self.config, self.folder, self.log)
        try:
            self._train_and_evaluate()
        except BaseException:
            self.logger.fail()
            raise

    def _train_and_evaluate(self) -> None:
        epoch = 0
        if self.saved is None:
            self.evaluate(epoch, loss=None)
        else:
            epoch = self.saved["epoch"]
            self.load_state_dict(self.saved)
            self.saved = None  # frees its memory
            self.progress.update(epoch * self.iterations)
        if self.goes_on(epoch):
            self.trainer.train(start_epoch=epoch + 1, num_epochs=self.protocol.epochs)
        if self.protocol.test_scoring == "once":
            self.evaluation.score_chosen(self.parts.models)
        if not self.processes.is_main:
            return
        if self.protocol.test_scoring == "once":
            self.record_keeper.save_records()
        summary = final_scores(self.evaluation.history, self.evaluation.final)
        write_hyperparameters(self.tensorboard, hyperparameters(self.config), summary)
        self.tensorboard.close()
        self.logger.finish(summary)

    def end_of_epoch(self, trainer: EpochTrainer) -> bool:
        """PML's ``end_of_epoch_hook``: evaluate or save where it is due, and return whether to continue."""
        trainer.seconds += time.perf_counter() - trainer.epoch_ended  # spent in the hook of the method
        if trainer.epoch % self.protocol.evaluate_every == 0 or trainer.epoch == self.protocol.epochs:
            self.evaluate(trainer.epoch, trainer.epoch_loss)
        elif self.processes.is_main and time.perf_counter() - self.saved_at > SAVE_AFTER:
            self.save(trainer.epoch)
        return self.goes_on(trainer.epoch)

    def evaluate(self, epoch: int, loss: float | None) -> None:
        """Score the models, and save records and checkpoint."""
        with torch.random.fork_rng():  # the shared generator belongs to the method
            self.evaluation(epoch, epoch * self.iterations, loss, self.parts.models)
        if self.processes.is_main:
            self.save(epoch)
            self.logger.scores(epoch, scores_of(self.evaluation.history[-1]))
        self.evaluation.history = self.processes.broadcast_object(self.evaluation.history)
        scores = chosen_entry(self.evaluation.history)["val"]
        self.progress.set_postfix_str("" if scores is None else f"val MAP@R {scores[PRIMARY]:.3f}")

    def goes_on(self, epoch: int) -> bool:
        """Whether the patience of the protocol lasts beyond ``epoch``."""
        waited = epoch - chosen_entry(self.evaluation.history)["epoch"]
        return self.protocol.patience is None or waited <= self.protocol.patience

    def save(self, epoch: int) -> None:
        """Write the records, then a checkpoint."""
        self.record_keeper.save_records()
        checkpoint.save(self.folder, self.state_dict(epoch))
        self.saved_at = time.perf_counter()

    def state_dict(self, epoch: int) -> dict[str, Any]:
        """Everything that changes in the course of the training, after ``epoch``, for ``torch.load(weights_only)``."""
        return {
            "version": checkpoint.VERSION,
            "epoch": epoch,
            "processes": self.processes.size,
            "data_hash": self.data_hash,
            "trainer": self.trainer.state_dict(),
            "meter": self.meter.state_dict(),
            "parts": checkpoint.parts_state(self.parts),
            "evaluation": self.evaluation.state_dict(),
            "records": checkpoint.files_state(self.folder.records),
            "generators": generator_states(self.device),
            "shared_loss": None if self.shared_loss is None else self.shared_loss.get_extra_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned; the records come back without entries of later epochs."""
        self.trainer.load_state_dict(state["trainer"])
        self.meter.load_state_dict(state["meter"])
        checkpoint.load_parts(self.parts, state["parts"])
        self.evaluation.load_state_dict(state["evaluation"])
        if self.processes.is_main:
            checkpoint.load_files(self.folder.records, state["records"])
        restore_generators(state["generators"], self.device)
        if self.shared_loss is not None and state["shared_loss"] is not None:
            self.shared_loss.set_extra_state(state["shared_loss"])

    @property
    def models(self) -> Mapping[str, nn.Module]:
        """Trunk and embedder."""
        return self.parts.models

    def log(self, line: str) -> None:
        """Print a line above the progress bar: to the terminal or, in a suite, to the log."""
        self.progress.write(line, file=sys.stderr)

    def _newest_checkpoint(self) -> dict[str, Any] | None:
        """The newest usable checkpoint, or None; the reasons for skipping one are logged."""
        state = checkpoint.newest(self.folder, self.log)
        if state is None:
            return None
        if state.get("version") != checkpoint.VERSION:
            self.log(f"the checkpoint in {self.folder.path} has another layout; starting from scratch")
            return None
        if state["data_hash"] != self.data_hash:
            self.log(f"the checkpoint in {self.folder.path} was trained on other images; starting from scratch")
            return None
        if state["processes"] != self.processes.size:
            self.log(
                f"begun with {state['processes']} processes, continued with {self.processes.size}: the numbers will be "
                "those of neither"
            )
        return state

    def _open_records(self) -> Any:
        """PML's hooks that write CSV, SQLite and TensorBoard records; leftovers of an unsaved attempt are deleted."""
        if self.saved is None:
            for leftover in (self.folder.records, self.folder.tensorboard):
                shutil.rmtree(leftover, ignore_errors=True)
        self.record_keeper, self.tensorboard = open_records(self.folder, readable_name(self.config))
        return logging_presets.get_hook_container(self.record_keeper, save_models=False, log_freq=self.iterations)

    def _make_trainer(
        self, store: ImageStore | FeatureStore, split: Split, train_labels: np.ndarray, end_of_iteration: Any
    ) -> Any:
        config, batch_size = self.config, self.protocol.batch_size
        return make_trainer(
            config,
            Trainer,
            progress=self.progress,
            precision=self.protocol.precision,
            processes=self.processes,
            **self.parts._asdict(),
            batch_size=batch_size,
            dataset=training_images(config, store, split.train, train_labels),
            sampler=EpochBatches(train_labels, config.loss.images_per_class, batch_size, self.iterations, config.seed),
            collate_fn=keep_batch,
            dataloader_num_workers=0,
            iterations_per_epoch=self.iterations,
            data_device=self.device,
            end_of_iteration_hook=end_of_iteration,
            end_of_epoch_hook=make_hook(config, then=self.end_of_epoch),
        )

    def _lay_out_and_compile(self) -> None:
        """Change the memory layout and compile the models where the protocol says so; a failing compiler is logged."""
        models = self.parts.models
        if self.protocol.channels_last:
            lay_out(models["trunk"])
        if self.protocol.compile:
            images = self.trainer.dataset.__getitems__(list(range(self.protocol.batch_size)))[0]
            problem = compile_models(models, images.to(self.trainer.data_device), self.protocol.precision)
            if problem is not None:
                self.log(f"protocol.compile=true, but the compiler failed ({problem}); continuing uncompiled")
