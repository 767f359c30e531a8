"""One training of a classifier: trunk and loss, batches, mixtures, scores and checkpoints."""

import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..config.classification import ClassificationConfig
from ..data import ImageArrays
from ..data.split import Split
from ..errors import TrainingError, UserError
from ..runs.writer import RunDir
from ..training import checkpoint
from ..training.activity import DIVERGED
from ..training.build import make_trunk
from ..training.images import StoredImages, eval_images, training_images
from ..training.nodes import make, make_module, refused
from ..training.pixel_store import store_of
from ..training.precision import autocast, lay_out
from ..training.resources import Meter
from ..training.sampler import EpochBatches
from ..training.seeds import seed_shared_generators, stream_seed
from ..trunks.width import feature_width
from .metrics import image_scores, mean_scores
from .mixing import Mixer

VERSION = "classification 1"  # of the layout of a checkpoint
EVAL_BATCH = 256
SAVE_AFTER = 300.0  # seconds between checkpoints at the end of epochs that are not evaluated


class ClassifierTraining:
    """A training that :meth:`run` carries out, from the newest checkpoint of the run directory if there is one.

    Initial weights, batches, image augmentation, mixing and the random layers of each epoch are drawn from streams of
    their own, which depend on the seed, the epoch and nothing else. So two losses start from the same weights and see
    the same mixed images, and a resumed training has the numbers of an uninterrupted one.

    Args:
        config: of the run.
        data: images and labels.
        split: rows of the images.
        device: where to train.
        folder: run directory, prepared.
        progress: counts the steps.
        per_gpu: trainings that share the GPU.

    Attributes:
        history: an entry per evaluation, as result.json holds them.
        scores: of the test images at the last epoch, each (N,); None before.
        seconds: spent in steps.
        meter: seconds and memory of the training, over all sessions.

    Raises:
        UserError: a part cannot be built, or does not take such images.
    """

    def __init__(
        self,
        config: ClassificationConfig,
        data: ImageArrays,
        split: Split,
        device: torch.device,
        folder: RunDir,
        progress: tqdm,
        per_gpu: int = 1,
    ) -> None:
        self.config, self.protocol = config, config.protocol
        self.device, self.folder, self.progress = device, folder, progress
        self.data_hash = data.content_hash
        self.meter = Meter(device)
        self.seconds = 0.0
        self.epoch = 0
        self.saved_at = time.perf_counter()
        self.history: list[dict[str, Any]] = []
        self.scores: dict[str, Tensor] | None = None
        self.iterations = self.protocol.iterations(len(split.train))
        self.mixer = Mixer(config.mix.operator, config.mix.alpha, config.mix.probability, len(data.class_names))
        self.trunk, self.loss = self._models(data)
        self.optimizer = make("protocol.optimizer", self.protocol.optimizer, self._weights())
        self.scheduler = self._scheduler()
        if self.protocol.channels_last:
            lay_out(self.trunk)
        store = store_of(data, device, per_gpu)
        labels = data.labels[split.train]
        self.train_images = cast(StoredImages, training_images(config, store, split.train, labels))
        self.test_images = cast(StoredImages, eval_images(config, store, split.test, data.labels[split.test]))
        self.batches = EpochBatches(labels, None, self.protocol.batch_size, self.iterations, config.seed)

    def run(self) -> None:
        """Train and evaluate to the end.

        Raises:
            TrainingError: the training diverged.
        """
        self._resume()
        if not self.history:
            self.evaluate(loss=None)
        while self.epoch < self.protocol.epochs:
            self.epoch += 1
            loss = self.train_epoch()
            if self.epoch % self.protocol.evaluate_every == 0 or self.epoch == self.protocol.epochs:
                self.evaluate(loss)
            elif time.perf_counter() - self.saved_at > SAVE_AFTER:
                self.save()
        if self.scores is None:  # resumed after the last evaluation
            self.scores = self.score()

    def train_epoch(self) -> float:
        """Make the steps of an epoch; their mean loss."""
        seed, started = self.config.seed, time.perf_counter()
        seed_shared_generators(stream_seed(seed, "layers", self.epoch))
        self.mixer.start_epoch(stream_seed(seed, "mixing", self.epoch))
        self.train_images.start_epoch(self.epoch)
        self.batches.start_epoch(self.epoch)
        self.trunk.train()
        self.loss.train()
        total = torch.zeros((), device=self.device)
        for images, labels in self.train_images.ahead(map(self.train_images.__getitems__, self.batches)):
            total += self.step(*self.mixer(images, labels))
            self.progress.update()
        if self.scheduler is not None and self.protocol.lr_scheduler_step == "epoch":
            self.scheduler.step()
        mean = float(total) / self.iterations
        self.seconds += time.perf_counter() - started
        if not np.isfinite(mean):
            raise TrainingError(f"the loss is NaN or infinite in epoch {self.epoch}; {DIVERGED}")
        return mean

    def step(self, images: Tensor, targets: Tensor) -> Tensor:
        """Make one step; its loss."""
        self.optimizer.zero_grad()
        with autocast(self.protocol.precision, self.device):
            features = self.trunk(images)
        loss = self.loss(features.float(), targets)
        loss.backward()
        self.optimizer.step()
        if self.scheduler is not None and self.protocol.lr_scheduler_step == "iteration":
            self.scheduler.step()
        return cast(Tensor, loss.detach())

    def evaluate(self, loss: float | None) -> None:
        """Add an entry to the history, with test scores where the protocol wants them, and save a checkpoint."""
        is_last = self.epoch == self.protocol.epochs
        test = None
        if is_last or self.protocol.test_scoring == "every":
            self.folder.log_test_scoring(self.epoch)
            scores = self.score()
            self.scores = scores if is_last else None
            test = mean_scores(scores)
            self.progress.set_postfix_str(f"top-1 {test['top_1']:.3f}")
        steps = self.epoch * self.iterations
        self.history.append({"epoch": self.epoch, "iterations": steps, "loss": loss, "val": None, "test": test})
        self.save()

    def score(self) -> dict[str, Tensor]:
        """Scores of each test image by the plain logits, on the CPU."""
        self.trunk.eval()
        self.loss.eval()
        images = self.test_images
        found = []
        with torch.no_grad():
            for batch, labels in images.ahead(map(images.__getitems__, _in_order(len(images)))):
                with autocast(self.protocol.precision, self.device):
                    features = self.trunk(batch)
                logits = self.loss.get_logits(features.float())  # type: ignore[operator]  # a method, not a module
                found.append(image_scores(logits, labels))
        scores = {name: torch.cat([part[name] for part in found]).cpu() for name in found[0]}
        if not bool(scores["confidence"].isfinite().all()):
            raise TrainingError(f"logits of test images are NaN or infinite; {DIVERGED}")
        return scores

    def save(self) -> None:
        """Write a checkpoint."""
        checkpoint.save(self.folder, self.state_dict())
        self.saved_at = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes in the course of the training, for ``torch.load(weights_only)``."""
        return {
            "version": VERSION,
            "data_hash": self.data_hash,
            "epoch": self.epoch,
            "seconds": self.seconds,
            "history": self.history,
            "meter": self.meter.state_dict(),
            **{name: part.state_dict() for name, part in self._parts().items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.epoch, self.seconds, self.history = state["epoch"], state["seconds"], list(state["history"])
        self.meter.load_state_dict(state["meter"])
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def log(self, line: str) -> None:
        """Print a line above the progress bar: to the terminal or, in a suite, to the log."""
        self.progress.write(line, file=sys.stderr)

    def _resume(self) -> None:
        state = checkpoint.newest(self.folder, self.log)
        if state is None:
            return
        if state.get("version") != VERSION or state["data_hash"] != self.data_hash:
            self.log(f"the checkpoint in {self.folder.path} is of another version or data set; starting from scratch")
            return
        self.load_state_dict(state)
        self.progress.update(self.epoch * self.iterations)

    def _parts(self) -> dict[str, Any]:
        parts = {"trunk": self.trunk, "loss": self.loss, "optimizer": self.optimizer, "scheduler": self.scheduler}
        return {name: part for name, part in parts.items() if part is not None}

    def _models(self, data: ImageArrays) -> tuple[nn.Module, nn.Module]:
        """Trunk and loss, each initialised from its own stream of the seed."""
        config = self.config
        size = self.protocol.eval_images.get("size", data.image_size)
        with torch.random.fork_rng():
            torch.manual_seed(stream_seed(config.seed, "initial weights of the trunk"))
            trunk = make_trunk(config.trunk, data.channels)
            with refused(f"trunk={config.trunk.name}"):
                width = feature_width(trunk, (config.trunk.channels or data.channels, size, size))
            torch.manual_seed(stream_seed(config.seed, "initial weights of the loss"))
            known = {"num_classes": len(data.class_names), "in_features": width}
            loss = make_module(f"loss={config.loss.name}", config.loss.criterion, **known)
        if not hasattr(loss, "get_logits"):
            raise UserError(
                f"loss={config.loss.name} is no classifier: loss.criterion._target_ must have get_logits, as "
                "pml_aug.losses.IntrospectiveSoftmaxLoss has"
            )
        return trunk.to(self.device), loss.to(self.device)

    def _weights(self) -> list[nn.Parameter]:
        return [weight for part in (self.trunk, self.loss) for weight in part.parameters() if weight.requires_grad]

    def _scheduler(self) -> Any:
        if self.protocol.lr_scheduler is None:
            return None
        steps = self.protocol.epochs * (self.iterations if self.protocol.lr_scheduler_step == "iteration" else 1)
        return make("protocol.lr_scheduler", self.protocol.lr_scheduler, self.optimizer, total_steps=steps)


def _in_order(images: int) -> Iterator[list[int]]:
    return (list(range(start, min(start + EVAL_BATCH, images))) for start in range(0, images, EVAL_BATCH))
