"""Batches that depend only on the seed of the run and the epoch."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler

from .seeds import stream_seed


class EpochBatches(BatchSampler):
    """Row numbers of the batches of an epoch, each (batch_size,), long; all drawn when the epoch starts.

    With ``images_per_class`` they are those of PML's ``MPerClassSampler`` on a generator of its own for each epoch.

    Args:
        labels: of the training images, (N,), with at least as many classes as a batch needs.
        images_per_class: of each class in a batch, drawn with replacement only if the class has fewer; None for images
            in random order, each once before any is repeated.
        batch_size: a multiple of ``images_per_class``.
        batches: per epoch.
        seed: of the run.

    Example:
        >>> labels = np.array([0, 0, 1, 1, 2, 2])
        >>> batch, = EpochBatches(labels, images_per_class=2, batch_size=4, batches=1, seed=0)
        >>> len(batch), len(set(labels[batch].tolist()))
        (4, 2)
    """

    def __init__(
        self, labels: np.ndarray, images_per_class: int | None, batch_size: int, batches: int, seed: int
    ) -> None:
        super().__init__(range(len(labels)), batch_size, drop_last=True)
        order = np.argsort(labels, kind="stable")
        self.members = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)  # rows of each class
        self.images_per_class = images_per_class
        self.batches = batches
        self.seed = seed
        self.start_epoch(1)

    def start_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Tensor]:  # type: ignore[override]  # PyTorch's yields lists
        rows = self._shuffled() if self.images_per_class is None else self._by_class(self.images_per_class)
        return iter(rows.split(self.batch_size))

    def _shuffled(self) -> Tensor:
        generator = torch.Generator().manual_seed(stream_seed(self.seed, "batches", self.epoch))
        images, wanted = sum(map(len, self.members)), self.batches * self.batch_size
        passes = [torch.randperm(images, generator=generator) for _ in range(-(-wanted // images))]
        return torch.cat(passes)[:wanted]

    def _by_class(self, images_per_class: int) -> Tensor:
        random = np.random.RandomState(stream_seed(self.seed, "batches", self.epoch))
        classes, drawn = np.arange(len(self.members)), []
        for _ in range(self.batches):
            random.shuffle(classes)
            for number in classes[: self.batch_size // images_per_class]:
                members = self.members[number]
                # as np.random.choice draws, which spends most of its time on checks
                if len(members) < images_per_class:
                    places = random.randint(0, len(members), size=images_per_class)
                else:
                    places = random.permutation(len(members))[:images_per_class]
                drawn.append(members[places])
        return torch.from_numpy(np.concatenate(drawn))
