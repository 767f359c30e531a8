"""A batch beside copies of its rows: which pairs and triplets there are without self-copies, and how miners find them.

The self-copies of a row are the row itself and its copies. To a loss or miner they are positives, the easiest of all.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from pytorch_metric_learning import miners
from pytorch_metric_learning.distances import BaseDistance
from pytorch_metric_learning.losses import BaseMetricLossFunction
from pytorch_metric_learning.miners import BaseMiner
from pytorch_metric_learning.utils import common_functions as c_f
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu
from torch import Tensor

from pml_aug.distances.delegating import PrecomputedDistance
from pml_aug.expansion.pooling import pooled_distances
from pml_aug.miners.expansion_miner import ExpansionMiner
from pml_aug.patching import patched
from pml_aug.synthesis.synthetic import Synthetic
from pml_aug.to_device import to_device
from pml_aug.wrappers.base import IndicesTuple


class References(NamedTuple):
    """The rows of a batch, and what they are compared with."""

    embeddings: Tensor  # (N, D)
    labels: Tensor  # (N,), long
    ref_emb: Tensor  # (R, D)
    ref_labels: Tensor  # (R,), long
    is_self: Tensor  # (N, R), bool: whether the reference is the row itself or a copy of it, and no positive

    def matches(self) -> Tensor:
        """Which references are positives: (N, R), bool."""
        return (self.labels[:, None] == self.ref_labels) & ~self.is_self

    def differences(self) -> Tensor:
        """Which references are negatives: (N, R), bool."""
        return self.labels[:, None] != self.ref_labels

    def since(self, start: int) -> "References":
        """The same rows with the references from `start` on."""
        return References(*self[:2], self.ref_emb[start:], self.ref_labels[start:], self.is_self[:, start:])


def references_of(
    embeddings: Tensor, labels: Tensor, copies: Synthetic, ref_emb: Tensor | None, ref_labels: Tensor | None
) -> References:
    """The batch, or `ref_emb` if there is one, followed by the copies; no row of `ref_emb` is a self-copy.

    Args:
        embeddings: (N, D).
        labels: (N,), on the device of the embeddings.
        copies: M copies of rows of the batch.
        ref_emb: (R, D).
        ref_labels: (R,), on any device.
    """
    rows = torch.arange(len(embeddings), device=embeddings.device)
    if ref_emb is None or ref_labels is None:
        ref_emb, ref_labels, source = embeddings, labels, rows
    else:
        ref_labels, source = to_device(ref_labels, rows.device), rows.new_full((len(ref_emb),), -1)
    return References(
        embeddings,
        labels,
        torch.cat([ref_emb, copies.embeddings]),
        torch.cat([ref_labels, copies.labels]),
        rows[:, None] == torch.cat([source, copies.source]),
    )


# ---- pairs and triplets


def all_pairs(references: References) -> IndicesTuple:
    """Every positive and every negative pair: four tensors, as PML's miners return them."""
    return *_entries(references.matches()), *_entries(references.differences())


def _entries(mask: Tensor) -> tuple[Tensor, ...]:
    """Rows and columns of the True entries of (N, R), by blocks of N columns: the batch, then each set of copies."""
    num_rows, num_columns = mask.shape
    if num_rows == 0 or num_columns % num_rows:
        return torch.where(mask)
    block, row, column = torch.where(mask.unflatten(1, (-1, num_rows)).transpose(0, 1))
    return row, block * num_rows + column


def all_triplets(references: References) -> IndicesTuple:
    """Every triplet: three tensors, as PML's miners return them."""
    matches, differences = references.matches().byte(), references.differences().byte()
    if matches.numel() * matches.shape[1] < torch.iinfo(torch.int32).max:  # PML's own criterion
        return lmu.get_all_triplets_indices_vectorized_method(matches, differences)
    return lmu.get_all_triplets_indices_loop_method(references.labels, matches, differences)


def random_triplets(references: References, per_anchor: int, generator: torch.Generator | None = None) -> IndicesTuple:
    """`per_anchor` triplets of each row that has a positive and a negative, drawn uniformly with replacement.

    Random numbers are drawn on the device of `generator`.
    """
    (num_rows, num_references), device = references.is_self.shape, references.is_self.device
    drawn_on = device if generator is None else generator.device
    shares = to_device(torch.rand((2, num_rows, per_anchor), generator=generator, device=drawn_on), device)
    positive = _at_share(references.matches(), shares[0])
    negative = _at_share(references.differences(), shares[1])
    anchor, draw = torch.where(torch.maximum(positive, negative) < num_references)
    return anchor, positive[anchor, draw], negative[anchor, draw]


def _at_share(allowed: Tensor, share: Tensor) -> Tensor:
    """The allowed columns at shares in [0, 1) of those of each row, R if a row has none: (N, R), (N, k) -> (N, k)."""
    reached = allowed.cumsum(dim=1)
    return torch.searchsorted(reached, (share * reached[:, -1:]).long() + 1)


def default_tuples(
    loss: BaseMetricLossFunction,
    forms_triplets: bool,
    references: References,
    generator: torch.Generator | None = None,
) -> IndicesTuple:
    """The pairs or triplets that PML's `loss` forms if it gets none, without self-copies."""
    if not forms_triplets:
        return all_pairs(references)
    per_anchor = getattr(loss, "triplets_per_anchor", "all")
    return all_triplets(references) if per_anchor == "all" else random_triplets(references, int(per_anchor), generator)


def with_tuples_of_copies(given: IndicesTuple, references: References, num_copies: int) -> IndicesTuple:
    """The given pairs or triplets and all of those with the copies, which are the last references."""
    start = len(references.ref_labels) - num_copies
    of_copies = references.since(start)
    added = all_triplets(of_copies) if len(given) == 3 else all_pairs(of_copies)
    return c_f.concatenate_indices_tuples(given, c_f.shift_indices_tuple(added, start))


# ---- distances


def with_self_nearest(distance: BaseDistance, references: References) -> PrecomputedDistance:
    """The distances with self-copies nearest of all, where a search for hard positives does not find them."""
    return _with_self_at(distance, references, nearest=True)


def with_self_farthest(distance: BaseDistance, references: References) -> PrecomputedDistance:
    """The distances with self-copies farthest of all, where a softmax over the row gives them no weight."""
    return _with_self_at(distance, references, nearest=False)


def _with_self_at(distance: BaseDistance, references: References, nearest: bool) -> PrecomputedDistance:
    matrix = distance(references.embeddings, references.ref_emb)
    extreme = c_f.pos_inf if nearest == distance.is_inverted else c_f.neg_inf
    return PrecomputedDistance(distance, matrix.masked_fill(references.is_self, extreme(matrix.dtype)))


# ---- miners


@torch.no_grad()
def mined(miner: BaseMiner, references: References, distance: BaseDistance | None = None) -> IndicesTuple:
    """The pairs or triplets that `miner` finds if self-copies are left out; the miner itself is not changed.

    PML's miners get no self-copies to choose from, each in the way that suits it. From the choice of other miners,
    self-copies are removed afterwards, which is the same if the miner judges each pair or triplet by itself.

    Args:
        miner: any PML miner.
        references: the rows and what they are compared with.
        distance: used instead of the miner's own.
    """
    writer = next(kind for kind in type(miner).__mro__ if "mine" in vars(kind))
    mine = MINE.get(writer, _removed_afterwards)
    chosen = mine(miner, miner.distance if distance is None else distance, references)
    miner.output_assertion(chosen)
    return chosen


class MinerWithoutSelfCopies(BaseMiner):
    """A miner for one batch that delegates to :func:`mined`.

    It can be called with the batch and its references, or with all references alone; the first rows are the anchors
    in both cases.

    Args:
        miner: mines.
        references: of the batch that it will be called with.
    """

    def __init__(self, miner: BaseMiner, references: References) -> None:
        super().__init__(distance=miner.distance)
        self.miner = miner
        self.references = references

    def mine(self, embeddings: Tensor, labels: Tensor, ref_emb: Tensor, ref_labels: Tensor) -> IndicesTuple:
        matrix = self.distance(embeddings, ref_emb)[: len(self.references.labels)]
        return mined(self.miner, self.references, PrecomputedDistance(self.distance, matrix))


def _call(miner: BaseMiner, references: References, **attributes: Any) -> IndicesTuple:
    with patched(miner, **attributes):
        return miner(*references[:4])


def _removed_afterwards(miner: BaseMiner, distance: BaseDistance, references: References) -> IndicesTuple:
    anchor, positive, *negatives = _call(miner, references, distance=distance)
    kept = torch.where(~references.is_self[anchor, positive])[0]
    if len(negatives) == 1:
        negatives = [negatives[0][kept]]
    return anchor[kept], positive[kept], *negatives


def _multi_similarity(miner: BaseMiner, distance: BaseDistance, references: References) -> IndicesTuple:
    # its rule, with the largest and smallest entry of each row instead of two sorts of all entries
    matrix = distance(references.embeddings, references.ref_emb)
    similarity = matrix if distance.is_inverted else -matrix
    matches, differences = references.matches(), references.differences()
    hardest_positive = similarity.masked_fill(~matches, float("inf")).amin(dim=1, keepdim=True)
    hardest_negative = similarity.masked_fill(~differences, -float("inf")).amax(dim=1, keepdim=True)
    hard_positives = matches & (similarity - miner.epsilon < hardest_negative)
    hard_negatives = differences & (similarity + miner.epsilon > hardest_positive)
    return *torch.where(hard_positives), *torch.where(hard_negatives)


def _easy_hard(miner: BaseMiner, distance: BaseDistance, references: References) -> IndicesTuple:
    if miner.pos_strategy == miner.ALL:
        return _removed_afterwards(miner, distance, references)
    limit = torch.finfo(references.embeddings.dtype).max / 2
    allowed = miner.allowed_pos_range or (-limit, limit)
    return _call(miner, references, distance=with_self_nearest(distance, references), allowed_pos_range=allowed)


def _hardest_share(miner: BaseMiner, distance: BaseDistance, references: References) -> IndicesTuple:
    # this miner has attributes for pairs from outside
    given = dict(zip(("a1", "p", "a2", "n"), all_pairs(references), strict=True))
    return _call(miner, references, distance=distance, was_set_externally=True, **given)


def _uniform_histogram(miner: BaseMiner, distance: BaseDistance, references: References) -> IndicesTuple:
    # the two halves of its `mine`, whose bins would span the distances to self-copies
    matrix = distance(references.embeddings, references.ref_emb)
    anchor, positive, negative_anchor, negative = all_pairs(references)
    if len(anchor) > 0:
        near = matrix[anchor, positive]
        anchor, positive = miner.get_uniformly_distributed_pairs(near, anchor, positive, miner.pos_per_bin)
    if len(negative) > 0:
        far = matrix[negative_anchor, negative]
        negative_anchor, negative = miner.get_uniformly_distributed_pairs(
            far, negative_anchor, negative, miner.neg_per_bin
        )
    return anchor, positive, negative_anchor, negative


def _expansion(miner: BaseMiner, distance: BaseDistance, references: References) -> IndicesTuple:
    # the miner inside it, with the matrix that it would compute
    if miner.expansion.is_off:
        return mined(miner.miner, references, distance)
    matrix = pooled_distances(distance, *miner.expansion.expand_both(*references[:4], distance))
    return mined(miner.miner, references, PrecomputedDistance(distance, matrix))


MINE: Mapping[type[BaseMiner], Callable[[BaseMiner, BaseDistance, References], IndicesTuple]] = {
    miners.MultiSimilarityMiner: _multi_similarity,
    miners.BatchEasyHardMiner: _easy_hard,
    miners.BatchHardMiner: _easy_hard,
    miners.HDCMiner: _hardest_share,
    miners.UniformHistogramMiner: _uniform_histogram,
    ExpansionMiner: _expansion,
}
