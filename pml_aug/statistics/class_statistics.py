"""Running mean, variance and count of the embeddings of each class."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pml_aug.validation import check_class_labels, check_integer, check_number, exclusive, is_finite


class Moments(NamedTuple):
    """Mean, variance and count of some classes, one class per row."""

    mean: Tensor  # (R, D)
    variance: Tensor  # (R, D), biased: divided by the count
    size: Tensor  # (R,), long: number of rows


class ClassStatistics(nn.Module):
    r"""Running mean and variance of the embeddings of each class, changed by `update` and `merge`.

    For a class with n rows in a call, with mean m and biased variance v, after N rows in earlier calls:

    .. math::
        w &= \max\Bigl(\frac{n}{n + N},\ 1 - \text{momentum}\Bigr) \\
        \sigma^2 &\leftarrow (1 - w)\, \sigma^2 + w\, v + w (1 - w) (\mu - m)^2 \\
        \mu &\leftarrow (1 - w)\, \mu + w\, m, \qquad N \leftarrow N + n

    with the old :math:`\mu` on the second line. Classes that are absent keep their values. No gradient flows. The cost
    of a call does not depend on the number of classes: it needs O(N D) memory beside the buffers and does not
    synchronise with an accelerator. Embeddings are used as they are, not normalised, in the dtype of the buffers.

    Args:
        num_classes: C, at least 1; labels are 0 .. C - 1.
        embedding_size: D, at least 1.
        momentum: largest share of the old values in the new ones, in [0, 1]; 1 gives the moments of all rows ever seen,
            0 those of the latest call that had the class.

    Attributes:
        mean: (C, D) buffer.
        variance: (C, D) buffer, biased; 0 for a class with one row.
        count: (C,) buffer, rows seen.

    Shapes:
        (N, D), (N,) -> None; the buffers change in place

    Raises:
        TypeError: an argument of another type.
        ValueError: an argument out of range; in a call, rows or labels of another shape, labels outside 0 .. C - 1,
            embeddings that are not finite or whose variance would overflow. The buffers then keep their values.
        RuntimeError: in a call, another thread is changing the same statistics.

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
        check_integer("num_classes", num_classes, minimum=1)
        check_integer("embedding_size", embedding_size, minimum=1)
        check_number("momentum", momentum, minimum=0, maximum=1)
        super().__init__()
        self.num_classes = num_classes
        self.embedding_size = embedding_size
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(num_classes, embedding_size))
        self.register_buffer("variance", torch.zeros(num_classes, embedding_size))
        self.register_buffer("count", torch.zeros(num_classes, dtype=torch.long))
        self._remember_whether_empty(True)

    @property
    def is_empty(self) -> bool:
        """Whether no row has been seen: whether `count` is 0 for every class.

        The answer is kept on the host and read from `count` again only after something else changed that buffer, as
        reading it synchronises with an accelerator.
        """
        count, version, empty = self._emptiness
        if count is not self.count or version != self.count._version:
            empty = not bool(self.count.any())
            self._remember_whether_empty(empty)
        return empty

    def _remember_whether_empty(self, empty: bool) -> None:
        self._emptiness = (self.count, self.count._version, empty)

    @torch.no_grad()
    def update(self, embeddings: Tensor, labels: Tensor) -> None:
        """Add a batch or a whole training set.

        Args:
            embeddings: (N, D), finite.
            labels: (N,), in 0 .. C - 1.
        """
        self._check(embeddings, labels)
        if len(labels) == 0:
            return
        with exclusive(self):
            embeddings, labels = embeddings.to(self.mean), labels.to(self.count)
            ones = torch.ones_like(labels)
            count = torch.zeros_like(self.count).index_add_(0, labels, ones)[labels]
            # sums are made at the first row of each class: no tensor of C rows is touched, and no list of classes made
            first = _first_row_of_class(labels, self.num_classes)
            mean = _sum_by(first, embeddings) / count[:, None]
            variance = _sum_by(first, (embeddings - mean).square_()) / count[:, None]

            before = Moments(self.mean[labels], self.variance[labels], self.count[labels])
            mean, variance = _blended(before, Moments(mean, variance, count), self.momentum)
            # rows of one class write the same numbers to the same place
            self.mean.index_copy_(0, labels, mean)
            self.variance.index_copy_(0, labels, variance)
            self.count.index_add_(0, labels, ones)
            self._remember_whether_empty(False)

    @torch.no_grad()
    def merge(self, other: "ClassStatistics", skip_singletons: bool = False) -> None:
        """Add the rows that other statistics have seen, as if they came in one call of `update`.

        Args:
            other: statistics of as many classes and dimensions; they are not changed.
            skip_singletons: a class with a single row in `other` keeps its mean and variance and only counts the row
                (the official code does this for data sets with more than 1000 classes).

        Raises:
            ValueError: another shape, or moments that are not finite; the buffers then keep their values.
        """
        if other.mean.shape != self.mean.shape:
            raise ValueError(
                f"`other` must have mean and variance of shape {tuple(self.mean.shape)}, but has "
                f"{tuple(other.mean.shape)}"
            )
        with exclusive(self):
            seen = Moments(other.mean.to(self.mean), other.variance.to(self.mean), other.count.to(self.count))
            mean, variance = _blended(Moments(self.mean, self.variance, self.count), seen, self.momentum)
            if not (is_finite(mean) and is_finite(variance)):
                raise ValueError(
                    "the mean or the variance of a class is not finite: the embeddings hold NaN or infinity, or are "
                    f"too large for {self.mean.dtype}"
                )
            empty = self.is_empty and other.is_empty
            changes = (seen.size > int(skip_singletons))[:, None]
            self.mean.copy_(torch.where(changes, mean, self.mean))
            self.variance.copy_(torch.where(changes, variance, self.variance))
            self.count += seen.size
            self._remember_whether_empty(empty)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ClassStatistics":
        empty = self.is_empty  # a move to another device or dtype does not change it
        super()._apply(fn, recurse)
        self._remember_whether_empty(empty)
        return self

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
        if embeddings.device.type != "cpu" or len(embeddings) == 0:
            return
        largest = float(embeddings.detach().abs().amax())
        # no sum of N squared differences, nor of the terms of the formula above, exceeds the dtype below this magnitude
        limit = (torch.finfo(self.mean.dtype).max / (16 * len(embeddings))) ** 0.5
        if not largest < float("inf"):
            raise ValueError("`embeddings` must be finite, but hold NaN or infinity: the training has diverged")
        if largest > limit:
            raise ValueError(
                f"`embeddings` are too large: with values up to {largest:.3g} their variance exceeds {self.mean.dtype}"
            )


def _first_row_of_class(labels: Tensor, num_classes: int) -> Tensor:
    """The first row with the label of each row: (N,) -> (N,)."""
    rows = torch.arange(len(labels), device=labels.device)
    return rows.new_full((num_classes,), len(labels)).scatter_reduce_(0, labels, rows, "amin")[labels]


def _sum_by(group: Tensor, values: Tensor) -> Tensor:
    """For each row the sum over all rows of its group: (N,), (N, D) -> (N, D)."""
    return torch.zeros_like(values).index_add_(0, group, values)[group]


def _blended(before: Moments, seen: Moments, momentum: float) -> tuple[Tensor, Tensor]:
    """Mean and variance of `before` and `seen` together; meaningless where `seen` has no rows."""
    share = seen.size.to(seen.mean.dtype) / (seen.size + before.size).clamp_min(1)
    weight = share.clamp_min(1 - momentum)[:, None]
    step = seen.mean - before.mean
    mean = before.mean + weight * step
    variance = (1 - weight) * before.variance + weight * seen.variance + weight * (1 - weight) * step.square()
    return mean, variance
