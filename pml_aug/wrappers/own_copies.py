"""PML's miners on a batch and its copies, kept from pairing a row with its own copies."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pytorch_metric_learning import miners
from pytorch_metric_learning.distances import BaseDistance
from pytorch_metric_learning.miners import BaseMiner
from torch import Tensor

from pml_aug.distances.delegating import PrecomputedDistance
from pml_aug.expansion.pooling import pooled_distances
from pml_aug.miners.expansion_miner import ExpansionMiner
from pml_aug.patching import patched
from pml_aug.wrappers.base import IndicesTuple
from pml_aug.wrappers.candidates import Candidates, all_pairs, with_own_easiest


@torch.no_grad()
def mined(miner: BaseMiner, candidates: Candidates, distance: BaseDistance | None = None) -> IndicesTuple:
    """What `miner` finds when a row's own copies are no candidates to it; the miner itself stays as it is.

    To a miner, own copies are positives, the easiest of all. PML's miners are kept from them before they choose, each
    in the way that suits it. From any other miner's choice they are taken out afterwards, which is the same where the
    miner judges every pair or triplet by itself.

    Args:
        miner: any PML miner.
        candidates: the rows and what they may be compared with.
        distance: to mine by instead of the miner's own.
    """
    writer = next(kind for kind in type(miner).__mro__ if "mine" in vars(kind))
    mine = MINE.get(writer, _taken_out_afterwards)
    chosen = mine(miner, miner.distance if distance is None else distance, candidates)
    miner.output_assertion(chosen)
    return chosen


class WithoutOwnCopies(BaseMiner):
    """A miner for one batch that has :func:`mined` do the mining.

    It may be asked about the batch and its candidates, or about all candidates among themselves; the first rows are
    the anchors either way.

    Args:
        miner: mines.
        candidates: of the batch that it will be asked about.
    """

    def __init__(self, miner: BaseMiner, candidates: Candidates) -> None:
        super().__init__(distance=miner.distance)
        self.miner = miner
        self.candidates = candidates

    def mine(self, embeddings: Tensor, labels: Tensor, ref_emb: Tensor, ref_labels: Tensor) -> IndicesTuple:
        matrix = self.distance(embeddings, ref_emb)[: len(self.candidates.labels)]
        return mined(self.miner, self.candidates, PrecomputedDistance(self.distance, matrix))


def _call(miner: BaseMiner, candidates: Candidates, **attributes: Any) -> IndicesTuple:
    with patched(miner, **attributes):
        return miner(candidates.embeddings, candidates.labels, candidates.ref_emb, candidates.ref_labels)


def _taken_out_afterwards(miner: BaseMiner, distance: BaseDistance, candidates: Candidates) -> IndicesTuple:
    anchor, positive, *negatives = _call(miner, candidates, distance=distance)
    kept = torch.where(~candidates.own[anchor, positive])[0]
    if len(negatives) == 1:
        negatives = [negatives[0][kept]]
    return anchor[kept], positive[kept], *negatives


def _multi_similarity(miner: BaseMiner, distance: BaseDistance, candidates: Candidates) -> IndicesTuple:
    # its rule, with a largest and a smallest entry of each row in place of two sorts of all
    matrix = distance(candidates.embeddings, candidates.ref_emb)
    alike = matrix if distance.is_inverted else -matrix
    matches, differences = candidates.matches(), candidates.differences()
    hardest_positive = alike.masked_fill(~matches, float("inf")).amin(dim=1, keepdim=True)
    hardest_negative = alike.masked_fill(~differences, -float("inf")).amax(dim=1, keepdim=True)
    hard_positives = matches & (alike - miner.epsilon < hardest_negative)
    hard_negatives = differences & (alike + miner.epsilon > hardest_positive)
    return *torch.where(hard_positives), *torch.where(hard_negatives)


def _easy_hard(miner: BaseMiner, distance: BaseDistance, candidates: Candidates) -> IndicesTuple:
    if miner.pos_strategy == miner.ALL:
        return _taken_out_afterwards(miner, distance, candidates)
    limit = torch.finfo(candidates.embeddings.dtype).max / 2
    allowed = miner.allowed_pos_range or (-limit, limit)
    return _call(miner, candidates, distance=with_own_easiest(distance, candidates), allowed_pos_range=allowed)


def _hardest_share(miner: BaseMiner, distance: BaseDistance, candidates: Candidates) -> IndicesTuple:
    # this miner has a place for pairs from outside
    given = dict(zip(("a1", "p", "a2", "n"), all_pairs(candidates), strict=True))
    return _call(miner, candidates, distance=distance, was_set_externally=True, **given)


def _uniform_histogram(miner: BaseMiner, distance: BaseDistance, candidates: Candidates) -> IndicesTuple:
    # the two halves of its `mine`, where the bins would span the distances to own copies
    matrix = distance(candidates.embeddings, candidates.ref_emb)
    anchor, positive, negative_anchor, negative = all_pairs(candidates)
    if len(anchor) > 0:
        near = matrix[anchor, positive]
        anchor, positive = miner.get_uniformly_distributed_pairs(near, anchor, positive, miner.pos_per_bin)
    if len(negative) > 0:
        far = matrix[negative_anchor, negative]
        negative_anchor, negative = miner.get_uniformly_distributed_pairs(
            far, negative_anchor, negative, miner.neg_per_bin
        )
    return anchor, positive, negative_anchor, negative


def _expansion(miner: BaseMiner, distance: BaseDistance, candidates: Candidates) -> IndicesTuple:
    # the matrix that it would make, for the miner in it
    if miner.num_points == 0:
        return mined(miner.miner, candidates, distance)
    rows = (candidates.embeddings, candidates.labels, candidates.ref_emb, candidates.ref_labels)
    matrix = pooled_distances(distance, *miner.expansion.expand_both(*rows, distance))
    return mined(miner.miner, candidates, PrecomputedDistance(distance, matrix))


MINE: Mapping[type[BaseMiner], Callable[[BaseMiner, BaseDistance, Candidates], IndicesTuple]] = {
    miners.MultiSimilarityMiner: _multi_similarity,
    miners.BatchEasyHardMiner: _easy_hard,
    miners.BatchHardMiner: _easy_hard,
    miners.HDCMiner: _hardest_share,
    miners.UniformHistogramMiner: _uniform_histogram,
    ExpansionMiner: _expansion,
}
