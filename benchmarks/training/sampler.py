"""Samplers whose batches depend only on the seed of the run and the epoch."""

from collections.abc import Iterator

import numpy as np
import torch
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.utils import common_functions as c_f
from torch.utils.data import Sampler

from benchmarks.training.seeds import stream_seed


def make_sampler(
    labels: np.ndarray, images_per_class: int | None, batch_size: int, batches: int, seed: int
) -> "EpochSampler | ShuffledSampler":
    """A sampler of ``images_per_class`` images of each class in a batch; None for images in random order."""
    if images_per_class is None:
        return ShuffledSampler(len(labels), batch_size * batches, seed)
    return EpochSampler(labels, images_per_class, batch_size, batches, seed)


class ShuffledSampler(Sampler[int]):
    """Row numbers in random order, each once before any is repeated.

    Args:
        rows: number of training images.
        length: row numbers per epoch.
        seed: of the run.
    """

    def __init__(self, rows: int, length: int, seed: int) -> None:
        self.rows = rows
        self.length = length
        self.seed = seed
        self.start_epoch(1)

    def start_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(stream_seed(self.seed, "batches", self.epoch))
        left = self.length
        while left > 0:
            yield from torch.randperm(self.rows, generator=generator)[:left].tolist()
            left -= self.rows


class EpochSampler(MPerClassSampler):
    """Row numbers of the batches of an epoch: ``batch_size / images_per_class`` random classes per batch.

    The batches of PML's sampler depend on what ran before, since it draws from a generator that all of PML shares and
    shuffles its list of classes in place. Here each epoch starts from the sorted list and its own generator.

    Args:
        labels: of the training images, (N,), with at least as many classes as a batch needs.
        images_per_class: of each class in a batch, drawn with replacement only if the class has fewer.
        batch_size: a multiple of ``images_per_class``.
        batches: per epoch.
        seed: of the run.
    """

    def __init__(self, labels: np.ndarray, images_per_class: int, batch_size: int, batches: int, seed: int) -> None:
        super().__init__(labels, images_per_class, batch_size, length_before_new_iter=batches * batch_size)
        self.seed = seed
        self.start_epoch(1)

    def start_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        self.labels.sort()
        shared = c_f.NUMPY_RANDOM
        c_f.NUMPY_RANDOM = np.random.RandomState(stream_seed(self.seed, "batches", self.epoch))
        try:
            return super().__iter__()
        finally:
            c_f.NUMPY_RANDOM = shared
