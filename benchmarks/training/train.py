"""One training, from a configuration to a finished run directory."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.config.compose import RunConfig, RunOptions
from benchmarks.config.data import DataConfig
from benchmarks.data import ImageArrays, load
from benchmarks.data.audit import audit_or_refuse
from benchmarks.data.split import Split, class_disjoint_split
from benchmarks.errors import UserError
from benchmarks.runs.writer import RunDir
from benchmarks.training.accuracy import PER_QUERY
from benchmarks.training.device import choose_device, device_name, repeatable
from benchmarks.training.distributed import Ranks, together
from benchmarks.training.evaluation import Evaluation
from benchmarks.training.examples import gallery_arrays
from benchmarks.training.result import result
from benchmarks.training.training import Training


def train(config: RunConfig, options: RunOptions, wait: bool = True) -> Path:
    """Run a training, from its last checkpoint where there is one, and finish its folder, whose path comes out.

    What ends it early is written into the folder, as ``failed``; the next call goes on from the last checkpoint.

    Args:
        wait: while another process trains this run.

    Raises:
        UserError: if the data cannot be read, has too few classes, or has the same images on both sides of the split.
        RunLockedError: another process trains this run, and ``wait`` is false.
    """
    data, split = read_data(config)
    audit = audit_or_refuse(data, split, config.data)
    folder = RunDir(options.runs, config.identity())
    with together(choose_device(options.device)) as (ranks, device), _held(folder, wait, ranks):
        if ranks.agree(folder.is_done() if ranks.first else False):
            return folder.path
        if ranks.first:
            folder.failed.unlink(missing_ok=True)
        try:
            training = _trained(config, options, data, split, device, folder, ranks)
            if ranks.first:
                _write_test_scores(folder, data, split, training.evaluation)
                machine = {"device": str(device), "threads": options.threads, "processes": ranks.size}
                cost = {**training.meter.state_dict(), **machine}
                folder.finish({"run": folder.name, **result(config, data, split, training, cost), "audit": audit})
        except Exception as error:
            if ranks.first:
                folder.fail(f"{type(error).__name__}: {error}", traceback.format_exc())
            raise
    return folder.path


@contextmanager
def _held(folder: RunDir, wait: bool, ranks: Ranks) -> Iterator[None]:
    """The folder is held by the first of the processes; if it is done, what only an unfinished training needs goes."""
    if not ranks.first:
        yield
        return
    with folder.held(wait, tell=lambda sentence: print(sentence, file=sys.stderr, flush=True)):
        if folder.is_done():
            folder.tidy()
        yield


def _trained(
    config: RunConfig,
    options: RunOptions,
    data: ImageArrays,
    split: Split,
    device: torch.device,
    folder: RunDir,
    ranks: Ranks,
) -> Training:
    if config.protocol.batch_size % ranks.size:
        raise UserError(
            f"protocol.batch_size must be a multiple of the {ranks.size} processes, each of which takes an equal part, "
            f"but got {config.protocol.batch_size}"
        )
    if ranks.first:
        folder.prepare()
        folder.write_environment(device_name(device), data.content_hash)
    with (
        repeatable(options.threads),
        progress_bar(config, split, quiet=options.quiet or not ranks.first) as progress,
    ):
        training = Training(config, data, split, device, folder, progress, ranks, options.per_gpu)
        training.run()
    return training


def _write_test_scores(folder: RunDir, data: ImageArrays, split: Split, evaluation: Evaluation) -> None:
    """What is kept of each test query, if the test set was looked at."""
    if not evaluation.best:
        return
    best = {name: tensor.numpy() for name, tensor in evaluation.best.items()}
    folder.write_arrays("queries", {"labels": data.labels[split.test], **{name: best[name] for name in PER_QUERY}})
    shown = split.test[evaluation.rules.shown.numpy()]
    searched = split.test if split.gallery is None else split.gallery
    folder.write_arrays("gallery", gallery_arrays(data, shown, searched, best["neighbors"]))
    for name in ("embeddings", "gallery_embeddings"):
        if name in best:
            folder.write_array(name, best[name])


def read_data(config: RunConfig) -> tuple[ImageArrays, Split]:
    """Images and their split; the data set read last is kept, for a process that trains many times.

    Raises:
        UserError: if they cannot be read, or have too few classes for the folds or for a batch.
    """
    try:
        data = _load(config.data)
        split = class_disjoint_split(data.labels, config.fold, config.protocol.num_folds, data.partition)
    except (OSError, ValueError) as error:
        raise UserError(f"data={config.data.name} fold={config.fold}: {error}") from error
    classes = len(np.unique(data.labels[split.train]))
    batch_size, images_per_class = config.protocol.batch_size, config.loss.images_per_class
    if images_per_class is None:
        if len(split.train) < batch_size:
            raise UserError(
                f"protocol.batch_size must be at most {len(split.train)}, the training images of "
                f"data={config.data.name}, but got {batch_size}"
            )
    elif classes * images_per_class < batch_size:
        raise UserError(
            f"loss={config.loss.name} takes {images_per_class} images of a class, so a batch of {batch_size} needs "
            f"{batch_size // images_per_class} training classes, but data={config.data.name} has {classes}: "
            "use more classes or a smaller protocol.batch_size"
        )
    return data, split


@lru_cache(maxsize=1)
def _load(config: DataConfig) -> ImageArrays:
    return load(config)


def progress_bar(config: RunConfig, split: Split, quiet: bool) -> tqdm:
    """One bar over all iterations, with the time left."""
    return tqdm(
        total=config.protocol.epochs * config.protocol.iterations(len(split.train)),
        desc=f"{config.loss.name} {config.method.name} fold {config.fold} seed {config.seed}",
        disable=quiet,
        dynamic_ncols=True,
    )
