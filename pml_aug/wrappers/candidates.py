"""What the rows of a batch are compared with when synthetic copies stand beside it, and all pairs of these."""

from typing import NamedTuple

import torch
from pytorch_metric_learning import losses
from pytorch_metric_learning.distances import BaseDistance
from pytorch_metric_learning.losses import BaseMetricLossFunction
from pytorch_metric_learning.utils import common_functions as c_f
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu
from torch import Tensor

from pml_aug.distances.delegating import PrecomputedDistance
from pml_aug.synthesis.synthetic import Synthetic
from pml_aug.to_device import to_device
from pml_aug.wrappers.base import Batch, IndicesTuple

TRIPLET_LOSSES = (losses.DynamicSoftMarginLoss, losses.HistogramLoss, losses.MarginLoss, losses.TripletMarginLoss)


class Candidates(NamedTuple):
    """Rows, and what each of them may be compared with."""

    embeddings: Tensor  # (N, D)
    labels: Tensor  # (N,), long
    ref_emb: Tensor  # (R, D)
    ref_labels: Tensor  # (R,), long
    own: Tensor  # (N, R), bool: the candidate is the row itself or one of its copies, and no positive of it
    times: int = 1  # the candidates after the first R / times have the labels and sources of these again

    def matches(self) -> Tensor:
        """Which candidates are positives: (N, R), bool."""
        return (self.labels[:, None] == self.ref_labels) & ~self.own

    def differences(self) -> Tensor:
        """Which candidates are negatives: (N, R), bool."""
        return self.labels[:, None] != self.ref_labels

    def since(self, start: int) -> "Candidates":
        """The same rows without the first `start` candidates."""
        return self._between(start, len(self.ref_labels))

    def once(self) -> "Candidates":
        """The same rows with the first R / times candidates."""
        return self._between(0, len(self.ref_labels) // self.times)

    def _between(self, start: int, end: int) -> "Candidates":
        return Candidates(
            self.embeddings, self.labels, self.ref_emb[start:end], self.ref_labels[start:end], self.own[:, start:end]
        )


def candidates_of(batch: Batch, copies: Synthetic, unread: bool = False) -> Candidates:
    """The batch, or its `ref_emb` instead, followed by the copies; the rows of a `ref_emb` are nobody's own.

    Where they are `unread`, numbers that would show if anyone did read them take their place.
    """
    rows = torch.arange(len(batch.embeddings), device=batch.embeddings.device)
    labels = to_device(batch.labels, rows.device)
    if batch.ref_emb is None or batch.ref_labels is None:
        ref_emb, ref_labels, source, times = batch.embeddings, labels, rows, 1 + len(copies.source) // len(rows)
    else:
        ref_emb, ref_labels, times = batch.ref_emb, to_device(batch.ref_labels, rows.device), 1
        source = rows.new_full((1,), -1).expand(len(ref_emb))
    ref_labels = torch.cat([ref_labels, copies.labels])
    unknown = ref_emb.new_full((1, 1), torch.nan).expand(len(ref_labels), 1)
    return Candidates(
        batch.embeddings,
        labels,
        unknown if unread else torch.cat([ref_emb, copies.embeddings]),
        ref_labels,
        rows[:, None] == torch.cat([source, copies.source]),
        times,
    )


def all_pairs(candidates: Candidates) -> IndicesTuple:
    """Every positive and every negative pair, four tensors as PML's miners give them."""
    once = candidates.once()  # to find the entries of a mask takes longer than to shift them
    shifts = torch.arange(candidates.times, device=once.labels.device)[:, None] * len(once.ref_labels)
    anchor, positive = torch.where(once.matches())
    other_anchor, negative = torch.where(once.differences())
    return (
        anchor.repeat(candidates.times),
        (positive + shifts).flatten(),
        other_anchor.repeat(candidates.times),
        (negative + shifts).flatten(),
    )


def all_triplets(candidates: Candidates) -> IndicesTuple:
    """Every triplet, three tensors as PML's miners give them."""
    matches, differences = candidates.matches().byte(), candidates.differences().byte()
    if matches.numel() * matches.shape[1] < torch.iinfo(torch.int32).max:  # as PML chooses
        return lmu.get_all_triplets_indices_vectorized_method(matches, differences)
    return lmu.get_all_triplets_indices_loop_method(candidates.labels, matches, differences)


def random_triplets(candidates: Candidates, per_anchor: int, generator: torch.Generator | None = None) -> IndicesTuple:
    """For each row with a positive and a negative, `per_anchor` triplets, drawn evenly with replacement.

    What is random is drawn on the device of `generator`.
    """
    (num_rows, num_candidates), device = candidates.own.shape, candidates.own.device
    drawn_on = device if generator is None else generator.device
    shares = to_device(torch.rand((2, num_rows, per_anchor), generator=generator, device=drawn_on), device)
    positive = _at_share(candidates.matches(), shares[0])
    negative = _at_share(candidates.differences(), shares[1])
    anchor, draw = torch.where(torch.maximum(positive, negative) < num_candidates)
    return anchor, positive[anchor, draw], negative[anchor, draw]


def _at_share(allowed: Tensor, share: Tensor) -> Tensor:
    """The allowed columns at some shares of each row's, in [0, 1); R where a row has none: (N, R), (N, k) -> (N, k)."""
    reached = allowed.cumsum(dim=1)
    return torch.searchsorted(reached, (share * reached[:, -1:]).long() + 1)


def every_tuple(
    loss: BaseMetricLossFunction, candidates: Candidates, generator: torch.Generator | None = None
) -> IndicesTuple:
    """What PML's `loss` would make for itself, had it no own copies to leave out."""
    if not isinstance(loss, TRIPLET_LOSSES):
        return all_pairs(candidates)
    per_anchor = getattr(loss, "triplets_per_anchor", "all")
    return all_triplets(candidates) if per_anchor == "all" else random_triplets(candidates, int(per_anchor), generator)


def with_pairs_of_copies(given: IndicesTuple, candidates: Candidates, num_copies: int) -> IndicesTuple:
    """The given pairs or triplets, and all of those with the copies, which are the last candidates."""
    start = len(candidates.ref_labels) - num_copies
    of_copies = candidates.since(start)
    added = all_triplets(of_copies) if len(given) == 3 else all_pairs(of_copies)
    return c_f.concatenate_indices_tuples(given, c_f.shift_indices_tuple(added, start))


def with_own_easiest(distance: BaseDistance, candidates: Candidates) -> PrecomputedDistance:
    """The distances, but a row's own candidates are nearer than anything: no search for hard positives finds them."""
    return _with_own_at(distance, candidates, nearest=True)


def with_own_farthest(distance: BaseDistance, candidates: Candidates) -> PrecomputedDistance:
    """The distances, but a row's own candidates are farther than anything: a softmax over the row passes them over."""
    return _with_own_at(distance, candidates, nearest=False)


def _with_own_at(distance: BaseDistance, candidates: Candidates, nearest: bool) -> PrecomputedDistance:
    matrix = distance(candidates.embeddings, candidates.ref_emb)
    extreme = c_f.pos_inf if nearest == distance.is_inverted else c_f.neg_inf
    return PrecomputedDistance(distance, matrix.masked_fill(candidates.own, extreme(matrix.dtype)))
