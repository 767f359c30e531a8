"""Synthetic points with their labels and sources."""

from typing import NamedTuple

from torch import Tensor


class Synthetic(NamedTuple):
    """Synthetic points, their labels, and the row of the batch that each point came from."""

    embeddings: Tensor  # (M, D), dtype and device of the batch
    labels: Tensor  # (M,), long
    source: Tensor  # (M,), long: row of the batch
