"""Scores of a trunk's raw features: what a data set gives without training."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ..config.compose import RunConfig
from ..config.targets import deferred
from ..data import ImageArrays
from ..data.feature_arrays import FeatureArrays
from ..data.split import Split
from .build import build_trunk
from .evaluation import BATCH_SIZE, make_evaluation
from .feature_store import FeatureStore, feature_store_of
from .images import StoredImages, eval_images
from .pixel_store import ImageStore, store_of
from .precision import autocast
from .resources import Meter


class RawScoring:
    """The features of validation and test images, scored as embeddings.

    Args:
        config: of a run with ``loss=raw`` or ``raw_standardized``; its criterion makes embeddings of features.
        data: images or features, and labels.
        split: rows of the images.
        device: of the trunk.
        log_test: called with the epoch, 0, before the test set is touched.
        keep_weights: whether those of trunk and embedder are wanted afterwards.

    Attributes:
        evaluation: one entry of history, epoch 0.
        embedding_size: the number of features.
        models: trunk and embedder.
        store: of the images or features.
        meter: seconds and memory.

    Raises:
        UserError: the trunk cannot be built, or does not take such images.
    """

    def __init__(
        self,
        config: RunConfig,
        data: ImageArrays,
        split: Split,
        device: torch.device,
        log_test: Callable[[int], None],
        keep_weights: bool = False,
    ) -> None:
        self.meter = Meter(device)
        trunk, self.embedding_size = build_trunk(config, data.channels, data.image_size)
        trunk = trunk.to(device).eval()
        self.store: ImageStore | FeatureStore
        if isinstance(data, FeatureArrays):
            self.store = feature_store_of(data, split.train, device)
        else:
            self.store = store_of(data, device)
        embedder = deferred(config.loss.criterion)(self.embedding_size).to(device).eval()
        if isinstance(embedder, nn.BatchNorm1d):
            learned = eval_images(config, self.store, split.train, data.labels[split.train])
            with torch.no_grad(), autocast(config.protocol.precision, device):
                set_statistics(embedder, (trunk(images) for images in _batches(learned)))
        self.evaluation = make_evaluation(
            config, data, split, self.store, device, lambda tester: None, log_test, keep_weights=keep_weights
        )
        self.models = {"trunk": trunk, "embedder": embedder}
        self.evaluation(0, 0, None, self.models)
        if config.protocol.test_scoring == "once":
            self.evaluation.score_chosen(self.models)

    def log(self, line: str) -> None:
        """Print a line to the terminal or, in a suite, to the log."""
        print(line, file=sys.stderr)


def set_statistics(norm: nn.BatchNorm1d, batches: Iterable[Tensor]) -> None:
    """Give a BatchNorm layer the mean and the variance over all rows of the batches, each (B, F).

    A feature that does not vary is centred only.

    Source: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.
    """
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    for batch in batches:
        rows, total = batch.double(), count + len(batch)
        gap = rows.mean(dim=0) - mean
        squares = squares + rows.var(dim=0, correction=0) * len(rows) + gap**2 * (count * len(rows) / total)
        mean, count = mean + gap * (len(rows) / total), total
    variance = squares / count
    varies = variance.sqrt() > 1e-7 * mean.abs().clamp(min=1e-30)
    norm.load_state_dict({**norm.state_dict(), "running_mean": mean, "running_var": variance.where(varies, 1.0)})


def _batches(images: Dataset) -> Iterator[Tensor]:
    stored = cast(StoredImages, images)
    for start in range(0, len(stored), BATCH_SIZE):
        yield stored.__getitems__(np.arange(start, min(start + BATCH_SIZE, len(stored))).tolist())[0]
