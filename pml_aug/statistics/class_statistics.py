"""Mean, variance and count of every class's embeddings, kept over a training."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pml_aug.validation import check_class_labels


class Moments(NamedTuple):
    """What is known about some classes, one a row."""

    mean: Tensor  # (R, D)
    variance: Tensor  # (R, D), biased: divided by the count
    size: Tensor  # (R,), long: rows that were counted


class ClassStatistics(nn.Module):
    r"""Mean and variance of the embeddings of each class, renewed with every call of `update`.

    A class of which a call brings n rows, with mean m and biased variance v, after N rows before:

    .. math::
        w &= \max\Bigl(\frac{n}{n + N},\ 1 - \text{momentum}\Bigr) \\
        \sigma^2 &\leftarrow (1 - w)\, \sigma^2 + w\, v + w (1 - w) (\mu - m)^2 \\
        \mu &\leftarrow (1 - w)\, \mu + w\, m, \qquad N \leftarrow N + n

    with the old :math:`\mu` on the second line. Classes that are absent keep what they have. Nothing is
    differentiated. A call costs the same however many classes there are, makes no device wait and needs O(N D)
    memory beside the buffers. Embeddings are taken as they are, not normalised, in the dtype of the buffers.

    Args:
        num_classes: C; labels are 0 .. C - 1.
        embedding_size: D.
        momentum: in [0, 1]; 1 gives the moments of all rows ever seen, 0 those of the latest call that had the class.

    Attributes:
        mean: (C, D) buffer.
        variance: (C, D) buffer, biased, 0 for a class of one row.
        count: (C,) buffer, rows seen.
        is_empty: whether nothing has been seen yet; travels with the state dict.

    Shapes:
        (N, D), (N,) -> nothing; the buffers change in place

    Source: Fu, Mao, Hu, Liu and Zhang, "Intra-class Adaptive Augmentation with Neighbor Correction for Deep Metric
    Learning", TMM 2022, equations 7 and 8; the weight w is that of the official code, where `momentum` is 0.2.

    Example:
        >>> statistics = ClassStatistics(num_classes=2, embedding_size=1)
        >>> statistics.update(torch.tensor([[1.0], [3.0]]), torch.tensor([1, 1]))
        >>> statistics.mean.tolist(), statistics.variance.tolist(), statistics.count.tolist()
        ([[0.0], [2.0]], [[0.0], [1.0]], [0, 2])
    """

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, num_classes: int, embedding_size: int, momentum: float = 0.2) -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, but got {num_classes}")
        if embedding_size < 1:
            raise ValueError(f"embedding_size must be at least 1, but got {embedding_size}")
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be between 0 and 1, but got {momentum}")
        super().__init__()
        self.num_classes = num_classes
        self.embedding_size = embedding_size
        self.momentum = momentum
        self.is_empty = True
        self.register_buffer("mean", torch.zeros(num_classes, embedding_size))
        self.register_buffer("variance", torch.zeros(num_classes, embedding_size))
        self.register_buffer("count", torch.zeros(num_classes, dtype=torch.long))

    @torch.no_grad()
    def update(self, embeddings: Tensor, labels: Tensor) -> None:
        """Take in a batch, or a whole training set.

        Args:
            embeddings: (N, D), finite.
            labels: (N,), in 0 .. C - 1.
        """
        self._check(embeddings, labels)
        if len(labels) == 0:
            return
        embeddings, labels = embeddings.to(self.mean), labels.to(self.count)
        ones = torch.ones_like(labels)
        count = torch.zeros_like(self.count).index_add_(0, labels, ones)[labels]
        # one row of each class stands for it: no state of C rows is touched, and no list of the classes is made
        first = _first_row_of_class(labels, self.num_classes)
        mean = _sum_by(first, embeddings) / count[:, None]
        variance = _sum_by(first, (embeddings - mean).square_()) / count[:, None]

        before = Moments(self.mean[labels], self.variance[labels], self.count[labels])
        mean, variance = _blended(before, Moments(mean, variance, count), self.momentum)
        # rows of one class write the same numbers to the same place
        self.mean.index_copy_(0, labels, mean)
        self.variance.index_copy_(0, labels, variance)
        self.count.index_add_(0, labels, ones)
        self.is_empty = False

    @torch.no_grad()
    def merge(self, other: "ClassStatistics", skip_singletons: bool = False) -> None:
        """Take in what other statistics have seen, as if it came in one call of `update`.

        Args:
            other: of as many classes and dimensions; unchanged.
            skip_singletons: a class of which `other` has a single row keeps its mean and variance, and only counts
                the row (the official code does so for data sets with more than 1000 classes).
        """
        if other.mean.shape != self.mean.shape:
            raise ValueError(
                f"`other` must have mean and variance of shape {tuple(self.mean.shape)}, but has "
                f"{tuple(other.mean.shape)}"
            )
        seen = Moments(other.mean.to(self.mean), other.variance.to(self.mean), other.count.to(self.count))
        mean, variance = _blended(Moments(self.mean, self.variance, self.count), seen, self.momentum)
        changes = (seen.size > int(skip_singletons))[:, None]
        self.mean.copy_(torch.where(changes, mean, self.mean))
        self.variance.copy_(torch.where(changes, variance, self.variance))
        self.count += seen.size
        self.is_empty = self.is_empty and other.is_empty

    def get_extra_state(self) -> dict[str, Any]:
        return {"is_empty": self.is_empty}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.is_empty = state["is_empty"]

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, embedding_size={self.embedding_size}, momentum={self.momentum}"

    def _check(self, embeddings: Tensor, labels: Tensor) -> None:
        if embeddings.ndim != 2 or embeddings.shape[1] != self.embedding_size:
            raise ValueError(
                f"`embeddings` must be of shape (rows, {self.embedding_size}), but got {tuple(embeddings.shape)}"
            )
        if labels.shape != embeddings.shape[:1] or labels.is_floating_point():
            raise ValueError(
                f"`labels` must be integers of shape ({len(embeddings)},), one for each row of `embeddings`, but got "
                f"{labels.dtype} of shape {tuple(labels.shape)}"
            )
        check_class_labels(labels, self.num_classes)
        if embeddings.device.type == "cpu" and not torch.isfinite(embeddings).all():
            raise ValueError("`embeddings` must be finite, but hold NaN or infinity, which no later call would mend")


def _first_row_of_class(labels: Tensor, num_classes: int) -> Tensor:
    """The first row with the label of each row: (N,) -> (N,)."""
    rows = torch.arange(len(labels), device=labels.device)
    return rows.new_full((num_classes,), len(labels)).scatter_reduce_(0, labels, rows, "amin")[labels]


def _sum_by(group: Tensor, values: Tensor) -> Tensor:
    """For each row the sum over all rows of its group: (N,), (N, D) -> (N, D)."""
    return torch.zeros_like(values).index_add_(0, group, values)[group]


def _blended(before: Moments, seen: Moments, momentum: float) -> tuple[Tensor, Tensor]:
    """The mean and variance after `seen` has come in; meaningless where it has no rows."""
    share = seen.size.to(seen.mean.dtype) / (seen.size + before.size).clamp_min(1)
    weight = share.clamp_min(1 - momentum)[:, None]
    step = seen.mean - before.mean
    mean = before.mean + weight * step
    variance = (1 - weight) * before.variance + weight * seen.variance + weight * (1 - weight) * step.square()
    return mean, variance
