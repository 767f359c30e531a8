"""What a training would take, from a few steps of it."""

import io
import tempfile
import time
from dataclasses import replace

import torch

from benchmarks.config.compose import RunConfig, RunOptions
from benchmarks.jobs.estimate.cost import Cost
from benchmarks.runs.writer import RunDir
from benchmarks.training import checkpoint
from benchmarks.training.device import choose_device, repeatable
from benchmarks.training.train import progress_bar, read_data
from benchmarks.training.trainer import Trainer
from benchmarks.training.training import Training

EPOCHS, STEPS = 3, 4
SCORED = 1024  # images
FILES = 2_000_000  # bytes: records, logs and pictures of a finished training


class Probe(Training):
    """Some steps without evaluation."""

    hook_seconds = 0.0

    def end_of_epoch(self, trainer: Trainer) -> bool:
        self.hook_seconds += time.perf_counter() - trainer.epoch_ended
        return True


def probe(config: RunConfig, options: RunOptions) -> Cost:
    """The cost of a training by a dozen steps and one evaluation on the validation images; the test set is not touched.

    Where no fold validates, some of the training images take the validation's place.
    The steps are so few that a compiler would take longer than they do: what is compiled is measured uncompiled.
    """
    data, split = read_data(config)
    if not len(split.val):
        split = split._replace(val=split.train[:SCORED])
    device = choose_device(options.device)
    protocol = replace(
        config.protocol,
        epochs=EPOCHS,
        iterations_per_epoch=STEPS,
        warmup_epochs=0,
        num_folds=max(2, config.protocol.num_folds),
        test_scoring="never",
        keep_embeddings=False,
        compile=False,
    )
    short = replace(config, protocol=protocol)
    with tempfile.TemporaryDirectory() as scratch, repeatable(options.threads):
        folder = RunDir(scratch, short.identity())
        folder.prepare()
        with progress_bar(short, split, quiet=True) as progress:
            training = Probe(short, data, split, device, folder, progress)
            training.trainer.train(num_epochs=EPOCHS)
            started = time.perf_counter()
            training.evaluation(EPOCHS, EPOCHS * STEPS, None, training.parts.models)
            scoring = time.perf_counter() - started
            state = io.BytesIO()
            torch.save(checkpoint.state_of(training.live, EPOCHS), state)
            training.tensorboard.close()
    kept = len(split.test) * config.protocol.embedding_size * 4 if config.protocol.keep_embeddings else 0
    return Cost(
        step=training.trainer.epoch_seconds / STEPS,  # the last epoch's: the first steps of a process are slow
        epoch=training.hook_seconds / EPOCHS,
        score=scoring / len(split.val),
        checkpoint=len(state.getbuffer()),
        files=FILES + kept,
    )
