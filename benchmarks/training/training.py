"""One training put together: parts, images, trainer, evaluation, records, checkpoints."""

import math
import shutil
import sys
import time
from typing import Any

import torch
from pytorch_metric_learning.utils import logging_presets
from tqdm import tqdm

from benchmarks.config.compose import RunConfig
from benchmarks.data import ImageArrays
from benchmarks.data.split import Split
from benchmarks.runs.writer import RunDir
from benchmarks.training import checkpoint, sealed
from benchmarks.training.build import build, make_hook, make_trainer
from benchmarks.training.distributed import ALONE, Ranks
from benchmarks.training.evaluation import Evaluation, ScoringRules
from benchmarks.training.examples import gallery_queries
from benchmarks.training.images import eval_images, keep_batch, training_images
from benchmarks.training.pixel_store import store_of
from benchmarks.training.precision import compile_models, lay_out
from benchmarks.training.resources import Meter
from benchmarks.training.sampler import make_sampler
from benchmarks.training.seeds import seed_shared_generators, stream_seed
from benchmarks.training.selection import CRITERION, chosen_entry
from benchmarks.training.shared_loss import share_loss
from benchmarks.training.trainer import Trainer

SAVE_AFTER = 300.0  # seconds: a checkpoint at the end of an epoch, though it is not evaluated


class Training:
    """Trains and evaluates when :meth:`run` is called; continues from the folder's checkpoint where there is one.

    Four things are random, each from its own stream of the run's seed: the initial weights, the batches of each
    epoch, the image augmentation of each epoch, and PyTorch's shared generator, which is the method's.

    Attributes:
        trainer: knows the seconds spent in iterations.
        meter: knows what all was spent, in this session and those before.
        evaluation: knows the history and the test queries' scores at the chosen epoch.
    """

    def __init__(
        self,
        config: RunConfig,
        data: ImageArrays,
        split: Split,
        device: torch.device,
        folder: RunDir,
        progress: tqdm,
        ranks: Ranks = ALONE,
        per_gpu: int = 1,
    ) -> None:
        self.protocol = config.protocol
        self.folder = folder
        self.data_hash = data.content_hash
        self.ranks = ranks
        self.progress = progress
        self.meter = Meter(device)
        self.iterations = self.protocol.iterations(len(split.train))
        # labels of the training images become 0 to C - 1, as proxies count them
        train_labels = torch.from_numpy(data.labels[split.train]).unique(return_inverse=True)[1].numpy()
        self.parts = build(config, int(train_labels.max()) + 1, data.channels, device, data.image_size)
        seed_shared_generators(stream_seed(config.seed, "method"))

        parts, shared_loss = self.parts, None
        if ranks is not ALONE:  # one process that torchrun started gives the numbers that several give
            parts, shared_loss = share_loss(parts, stream_seed(config.seed, "method"))
        self.saved = ranks.agree(self.newest_checkpoint() if ranks.first else None)
        self.saved_at = time.perf_counter()
        self.record_keeper: Any = None
        self.tensorboard: Any = None
        hooks = logging_presets.EmptyContainer()
        if ranks.first:
            if self.saved is None:
                for left_over in (folder.records, folder.tensorboard):
                    shutil.rmtree(left_over, ignore_errors=True)
            self.record_keeper, _, self.tensorboard = logging_presets.get_record_keeper(
                str(folder.records), str(folder.tensorboard)
            )
            hooks = logging_presets.get_hook_container(self.record_keeper, save_models=False, log_freq=self.iterations)
        rules = ScoringRules(
            self.protocol.test_scoring,
            self.protocol.keep_embeddings,
            torch.from_numpy(gallery_queries(data, split.test, config.fold)),
            self.protocol.neighbors,
        )
        store = store_of(data, device, per_gpu)
        rows = {"val": split.val, "test": split.test, "gallery": split.gallery}
        images = {
            name: eval_images(config, store, part, data.labels[part])
            for name, part in rows.items()
            if part is not None and len(part) and (name == "val" or rules.scoring != "never")
        }
        self.evaluation = Evaluation(
            images, rules, device, self.protocol.precision, hooks.end_of_testing_hook, folder.log_test_scoring
        )
        self.trainer = make_trainer(
            config,
            Trainer,
            progress=progress,
            precision=self.protocol.precision,
            ranks=ranks,
            **parts._asdict(),
            batch_size=self.protocol.batch_size,
            dataset=training_images(config, store, split.train, train_labels),
            sampler=make_sampler(
                train_labels, config.loss.images_per_class, self.protocol.batch_size, self.iterations, config.seed
            ),
            collate_fn=keep_batch,
            dataloader_num_workers=0,
            iterations_per_epoch=self.iterations,
            data_device=device,
            end_of_iteration_hook=hooks.end_of_iteration_hook,
            end_of_epoch_hook=make_hook(config, then=self.end_of_epoch),
        )
        if device.type == "cuda":
            self.tell(str(store))
        self.speed_up()
        ranks.average_gradients(
            weight
            for optimizer in parts.optimizers.values()
            for group in optimizer.param_groups
            for weight in group["params"]
        )
        self.live = checkpoint.Live(
            self.parts,
            self.trainer,
            self.evaluation,
            self.meter,
            folder.records,
            device,
            ranks,
            self.data_hash,
            shared_loss,
        )

    def run(self) -> None:
        epoch = 0
        if self.saved is None:
            self.evaluate(epoch, loss=None)
        else:
            epoch = checkpoint.restore(self.live, self.saved)
            self.saved = None  # its memory is needed
            self.progress.update(epoch * self.iterations)
        if self.goes_on(epoch):
            self.trainer.train(start_epoch=epoch + 1, num_epochs=self.protocol.epochs)
        if not self.ranks.first:
            return
        if self.protocol.test_scoring == "once":
            self.evaluation.score_chosen(self.parts.models)
            self.record_keeper.save_records()
        self.tensorboard.close()

    def speed_up(self) -> None:
        """Lay out and compile the models as the protocol asks; say so where they cannot be compiled."""
        models = self.parts.models
        if self.protocol.channels_last:
            lay_out(models["trunk"])
        if self.protocol.compile:
            images, _ = self.trainer.dataset.__getitems__(list(range(self.protocol.batch_size)))
            problem = compile_models(models, images.to(self.trainer.data_device), self.protocol.precision)
            if problem is not None:
                self.tell(f"protocol.compile=true, but the compiler failed ({problem}); going on uncompiled")

    def end_of_epoch(self, trainer: Trainer) -> bool:
        """Whether to go on: PML's ``end_of_epoch_hook``."""
        trainer.seconds += time.perf_counter() - trainer.epoch_ended  # what the method's own hook took
        if not math.isfinite(trainer.epoch_loss):
            raise FloatingPointError(f"the loss became {trainer.epoch_loss} in epoch {trainer.epoch}")
        if trainer.epoch % self.protocol.evaluate_every == 0 or trainer.epoch == self.protocol.epochs:
            self.evaluate(trainer.epoch, trainer.epoch_loss)
        elif self.ranks.first and time.perf_counter() - self.saved_at > SAVE_AFTER:
            self.save(trainer.epoch)
        return self.goes_on(trainer.epoch)

    def evaluate(self, epoch: int, loss: float | None) -> None:
        """Score the model, and save everything."""
        if self.ranks.first:
            with torch.random.fork_rng():  # data loaders draw from the shared generator, which is the method's
                self.evaluation(epoch, epoch * self.iterations, loss, self.parts.models)
            self.save(epoch)
        self.evaluation.history = self.ranks.agree(self.evaluation.history)
        scores = chosen_entry(self.evaluation.history)["val"]
        self.progress.set_postfix_str("" if scores is None else f"val MAP@R {scores[CRITERION]:.3f}")

    def newest_checkpoint(self) -> dict[str, Any] | None:
        """The state to go on from; what is in the way of one is told."""
        state = sealed.newest(self.folder.checkpoint, self.folder.previous_checkpoint, self.tell)
        if state is None:
            return None
        if state.get("version") != checkpoint.VERSION:
            self.tell(f"{self.folder.checkpoint} was written by another version of this code; starting from scratch")
            return None
        if state["data_hash"] != self.data_hash:
            self.tell(f"{self.folder.checkpoint} was trained on other images; starting from scratch")
            return None
        if state["processes"] != self.ranks.size:
            self.tell(
                f"begun with {state['processes']} processes, going on with {self.ranks.size}: the numbers will be "
                "those of neither"
            )
        return state

    def save(self, epoch: int) -> None:
        """Write the records, then the checkpoint."""
        self.record_keeper.save_records()
        state = checkpoint.state_of(self.live, epoch)
        sealed.save(self.folder.checkpoint, self.folder.previous_checkpoint, state)
        self.saved_at = time.perf_counter()

    def goes_on(self, epoch: int) -> bool:
        """Whether patience is left after ``epoch``."""
        waited = epoch - chosen_entry(self.evaluation.history)["epoch"]
        return self.protocol.patience is None or waited <= self.protocol.patience

    def tell(self, sentence: str) -> None:
        """Into the terminal or, in a suite, the log."""
        self.progress.write(sentence, file=sys.stderr)
