"""Train one run, from a configuration to a finished run directory."""

import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ..config.compose import RunConfig, RunOptions
from ..config.data import DataConfig
from ..data import ImageArrays, load
from ..data.audit import audit_or_refuse
from ..data.split import Split, split_of
from ..errors import TrainingError, UserError
from ..runs.checked_json import Fields
from ..runs.schema import PER_QUERY
from ..runs.writer import RunDir
from .device import choose_device, device_name, repeatable
from .distributed import ALONE, ProcessGroup, process_group
from .evaluation import Evaluation
from .examples import gallery_arrays
from .kept_model import keep_model
from .loggers import open_logger
from .raw import RawScoring
from .result import result
from .selection import final_scores
from .training import Training
from .uncertainty import uncertainty_arrays


def train(config: RunConfig, options: RunOptions, wait: bool = True) -> Path:
    """The directory of a finished run; trains first, from the last checkpoint if there is one, unless it is done.

    A training that fails leaves the reason and the traceback in the file ``failed``; the next call continues from the
    last checkpoint. A training that is refused leaves no directory.

    Args:
        config: what to train.
        options: where and how.
        wait: whether to wait for another process that trains this run.

    Raises:
        UserError: the data cannot be read, has too few classes, or has the same images on both sides of the split; the
            finished run was trained on other images; the parts do not go together.
        RunLockedError: another process trains this run, and ``wait`` is false.
        TrainingError: the training failed, for example because it diverged.
    """
    data, split = read_data(config)
    audit = audit_or_refuse(data, split, config.data)
    folder = RunDir(options.runs, config.identity())
    with process_group(choose_device(options.device)) as (processes, device):

        def work() -> None:
            training = _ended(config, options, data, split, device, folder, processes)
            if processes.is_main:
                _write_test_scores(folder, data, split, training.evaluation)
                if options.keep == "weights":
                    keep_model(config, data, split, training, folder)
                machine = {"device": str(device), "threads": options.threads, "processes": processes.size}
                cost = {**training.meter.state_dict(), **machine}
                if isinstance(training, Training) and _measures_uncertainty(training):
                    with repeatable(options.threads):
                        folder.write_arrays("uncertainty", _uncertainty(training))
                folder.finish({"run": folder.name, **result(config, data, split, training, cost), "audit": audit})

        carry_out(work, folder, data, wait, processes)
    return folder.path


def carry_out(
    work: Callable[[], None], folder: RunDir, data: ImageArrays, wait: bool, processes: ProcessGroup = ALONE
) -> None:
    """Do the work that finishes a run while its directory is locked, unless it is done; note why it failed.

    Args:
        work: trains, and finishes the directory.
        folder: run directory.
        data: that is trained on.
        wait: whether to wait for another process that trains this run.
        processes: that share the training.

    Raises:
        UserError, RunLockedError, TrainingError: as :func:`train`.
    """
    with _locked(folder, wait, processes):
        if processes.broadcast_object(folder.is_done() if processes.is_main else False):
            check_same_images(folder, data)
            return
        if processes.is_main:
            folder.failed.unlink(missing_ok=True)
        try:
            work()
        except UserError:
            raise
        except Exception as error:
            reason = str(error) if isinstance(error, TrainingError) else f"{type(error).__name__}: {error}"
            if processes.is_main:
                folder.fail(reason, traceback.format_exc())
            raise TrainingError(f"{reason} (traceback: {folder.failed})") from error


def check_same_images(folder: RunDir, data: ImageArrays) -> None:
    """Check that a finished run was trained on the images that the data set has now.

    Raises:
        UserError: it was trained on others.
    """
    before = Fields.of(folder.result).get("data.hash", str)
    if before != data.content_hash:
        raise UserError(
            f"{folder.path} was trained on other images than data={data.name} has now (hash {before[:12]}, now "
            f"{data.content_hash[:12]}): delete the directory, or choose another one with runs=DIRECTORY"
        )


@contextmanager
def _locked(folder: RunDir, wait: bool, processes: ProcessGroup) -> Iterator[None]:
    """Let the main process lock the run directory, and tidy what a refused or a finished training leaves in it."""
    if not processes.is_main:
        yield
        return
    with folder.locked(wait, tell=lambda line: print(line, file=sys.stderr, flush=True)):
        if folder.is_done():
            folder.tidy()
        is_new = {path.name for path in folder.path.iterdir()} <= {folder.lock.name, folder.log.name}
        try:
            yield
        except UserError:
            if is_new:
                _remove_all_but_log(folder)
            raise


def _remove_all_but_log(folder: RunDir) -> None:
    """Remove a run directory, so that no report takes it for an unfinished run; a log keeps the directory."""
    for path in folder.path.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path != folder.log:
            path.unlink()
    if not folder.log.exists():
        folder.path.rmdir()


def _ended(
    config: RunConfig,
    options: RunOptions,
    data: ImageArrays,
    split: Split,
    device: torch.device,
    folder: RunDir,
    processes: ProcessGroup,
) -> Training | RawScoring:
    """The training when it has ended, or the scoring of the features where nothing is to be trained."""
    if config.protocol.batch_size % processes.size:
        raise UserError(
            f"protocol.batch_size must be a multiple of the {processes.size} processes, each of which takes an equal "
            f"part, but got {config.protocol.batch_size}"
        )
    if processes.is_main:
        folder.prepare()
        folder.write_environment(device_name(device), data.content_hash)
    if config.loss.is_raw:
        with repeatable(options.threads):
            scoring = RawScoring(config, data, split, device, folder.log_test_scoring, options.keep == "weights")
        if processes.is_main:
            logger = open_logger(options.logger, config, folder, scoring.log)
            logger.finish(final_scores(scoring.evaluation.history, scoring.evaluation.final))
        return scoring
    with (
        repeatable(options.threads),
        progress_bar(config, split, quiet=options.quiet or not processes.is_main) as progress,
    ):
        keeps = options.keep == "weights" or config.protocol.uncertainty
        given = (config, data, split, device, folder, progress, processes, options.per_gpu, keeps, options.logger)
        training = Training(*given)
        training.run()
    return training


def _write_test_scores(folder: RunDir, data: ImageArrays, split: Split, evaluation: Evaluation) -> None:
    """Write the scores and neighbours of the test queries, if the test set was scored."""
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


def _measures_uncertainty(training: Training) -> bool:
    return training.protocol.uncertainty and "test" in training.evaluation.images


def _uncertainty(training: Training) -> dict[str, np.ndarray]:
    """Of the model of the selected epoch."""
    evaluation, models = training.evaluation, training.parts.models
    for name, model in models.items():
        model.load_state_dict(evaluation.weights[name])
    return uncertainty_arrays(models, evaluation.images, training.protocol.precision, training.device)


def read_data(config: RunConfig) -> tuple[ImageArrays, Split]:
    """The images and their split. The data set read last is cached, for a process that trains many times.

    Raises:
        UserError: the data cannot be read, or has too few classes for the folds or for a batch.
    """
    try:
        data = _load(config.data)
        split = split_of(data, config.data, config.fold, config.protocol.num_folds)
    except (OSError, ValueError) as error:
        raise UserError(f"data={config.data.name} fold={config.fold}: {error}") from error
    if config.loss.is_raw:  # needs no batches
        return data, split
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
            f"loss={config.loss.name} takes {images_per_class} images per class, so a batch of {batch_size} needs "
            f"{batch_size // images_per_class} training classes, but data={config.data.name} has {classes}: "
            "use more classes or a smaller protocol.batch_size"
        )
    return data, split


@lru_cache(maxsize=1)
def _load(config: DataConfig) -> ImageArrays:
    return load(config)


def progress_bar(config: RunConfig, split: Split, quiet: bool) -> tqdm:
    """A bar over all steps of the training, with the remaining time."""
    return tqdm(
        total=config.protocol.epochs * config.protocol.iterations(len(split.train)),
        desc=f"{config.loss.name} {config.method.name} fold {config.fold} seed {config.seed}",
        disable=quiet,
        dynamic_ncols=True,
    )
