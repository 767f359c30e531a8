"""PML's sampler with batches that depend on nothing but the run's seed and the epoch."""

from collections.abc import Iterator

import numpy as np
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.utils import common_functions as c_f

from ..seeds import stream_seed


class EpochSampler(MPerClassSampler):
    """Row numbers of one epoch's batches: ``batch_size / images_per_class`` random classes a batch.

    PML's sampler draws from a generator that it shares with all of PML, and shuffles its class list in place, so its
    batches depend on whatever ran before. Here each epoch starts from the sorted list and a generator of its own.

    Args:
        labels: of the training images, (N,), with at least as many classes as a batch needs.
        images_per_class: of each class in a batch, drawn with replacement only if the class has fewer.
        batch_size: a multiple of ``images_per_class``.
        batches: in an epoch.
        seed: the run's.
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
