"""Workarounds for losses of pytorch-metric-learning that fail on valid batches."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_metric_learning import losses
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import BaseMetricLossFunction
from torch import Tensor
from torch.nn.functional import pad

from pml_aug.distances.delegating import ClampedDistance, PrecomputedDistance, unwrap
from pml_aug.patching import patched

LossDict = dict[str, dict[str, Any]]
Compute = Callable[..., LossDict]


def needs_workaround(loss: BaseMetricLossFunction) -> bool:
    """Whether :func:`with_workarounds` changes the computation of `loss`."""
    return _workaround_of(loss) is not None


def _workaround_of(loss: BaseMetricLossFunction) -> Callable[..., LossDict] | None:
    return next((WORKAROUNDS[kind] for kind in type(loss).__mro__ if kind in WORKAROUNDS), None)


@contextmanager
def with_workarounds(loss: BaseMetricLossFunction) -> Iterator[None]:
    """Let `loss` compute what its definition says inside the block. Most losses are not changed.

    - SmoothAPLoss identifies classes by position: of C classes of m rows it takes m blocks of C rows for the classes.
      It gets the rows sorted by class, with labels that make it count C, so that every balanced batch is right.
    - TupletMarginLoss has no derivative and HistogramLoss no bin where a cosine is 1 or, by rounding, larger. They get
      cosines that are slightly smaller.
    - DynamicSoftMarginLoss weights rows by a histogram that holds the graph of earlier calls, so that a second backward
      pass fails, and that has no bin for the largest differences. It gets a histogram of numbers with that bin, and
      distances of unit vectors that are slightly below 2. A call that fails, or whose differences are not finite,
      leaves the histogram unchanged.
    - NCALoss and ProxyNCALoss take the mean over no rows if no row has a positive. They return zero.

    Example:
        >>> loss, rows = losses.SmoothAPLoss(), torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1], [0.2, 0.8]])
        >>> with with_workarounds(loss):
        ...     loss(rows, torch.tensor([0, 1, 0, 1])).round(decimals=5).item()  # each row finds its own class first
        0.0
    """
    workaround = _workaround_of(loss)
    if workaround is None:
        yield
        return
    compute = loss.compute_loss
    histogram = getattr(loss, "hist_", None)

    def compute_with_workaround(*arguments: Any) -> LossDict:
        return workaround(loss, compute, *arguments)

    own = vars(loss).get("compute_loss")  # set by the user on this loss, not on its class
    loss.compute_loss = compute_with_workaround
    try:
        yield
    except BaseException:
        if histogram is not None:
            loss.hist_ = histogram
        raise
    finally:
        if own is None:
            del loss.compute_loss
        else:
            loss.compute_loss = own


def _class_by_class(
    loss: BaseMetricLossFunction,
    compute: Compute,
    embeddings: Tensor,
    labels: Tensor,
    indices_tuple: tuple[Tensor, ...] | None,
    ref_emb: Tensor,
    ref_labels: Tensor,
) -> LossDict:
    _, counts = labels.unique(return_counts=True)
    size = int(counts[0])
    if ref_emb is not embeddings or (counts != size).any():  # PML refuses the batch
        return compute(embeddings, labels, indices_tuple, ref_emb, ref_labels)
    order = labels.argsort(stable=True)
    place = order.argsort()
    matrix = loss.distance(embeddings)[order][:, order]
    rows = embeddings[order]
    positions = (
        torch.arange(len(order), device=order.device) % size
    )  # PML divides the number of rows by the number of these
    tuples = None if indices_tuple is None else tuple(place[each] for each in indices_tuple)
    with patched(loss, distance=PrecomputedDistance(loss.distance, matrix)):
        found = compute(rows, positions, tuples, rows, positions)
    found["ap_loss"]["losses"] = found["ap_loss"]["losses"][place]
    return found


def _within_bounds(loss: BaseMetricLossFunction, compute: Compute, *arguments: Any) -> LossDict:
    if not isinstance(unwrap(loss.distance), CosineSimilarity):
        return compute(*arguments)
    with patched(loss, distance=ClampedDistance(loss.distance)):
        return compute(*arguments)


def _with_a_bin_more(loss: BaseMetricLossFunction, compute: Compute, *arguments: Any) -> LossDict:
    before = loss.hist_ = pad(loss.hist_.detach(), (0, loss.num_bins + 1 - len(loss.hist_)))
    with patched(loss, distance=ClampedDistance(loss.distance, largest=2.0**loss.distance.power)):
        found = compute(*arguments)
    after = loss.hist_.detach()
    loss.hist_ = torch.where(after.isfinite().all(), after, before.to(after))
    return found


def _without_positives(loss: BaseMetricLossFunction, compute: Compute, *arguments: Any) -> LossDict:
    found = compute(*arguments)
    nothing = found["loss"]["indices"] is not None and len(found["loss"]["indices"]) == 0
    return loss.zero_losses() if nothing else found


WORKAROUNDS: Mapping[type[BaseMetricLossFunction], Callable[..., LossDict]] = {
    losses.DynamicSoftMarginLoss: _with_a_bin_more,
    losses.HistogramLoss: _within_bounds,
    losses.NCALoss: _without_positives,
    losses.SmoothAPLoss: _class_by_class,
    losses.TupletMarginLoss: _within_bounds,
}
