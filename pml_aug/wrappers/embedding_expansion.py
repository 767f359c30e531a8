"""Embedding Expansion around any PML loss that compares embeddings with each other."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pytorch_metric_learning import losses, miners
from torch import Tensor, nn

from pml_aug.distances.alike import measure_alike
from pml_aug.distances.expanded import Expanded
from pml_aug.distances.expansion import Expansion
from pml_aug.distances.precomputed import PrecomputedDistance
from pml_aug.miners.expansion_miner import ExpansionMiner
from pml_aug.swapped import swapped
from pml_aug.wrappers.base import Batch, LossWrapper
from pml_aug.wrappers.proxies import LAYOUTS

_PROXIES = "it compares embeddings with proxies, and no pair of embeddings is there to expand; use ProxySynthesis"
_NO_MATRIX = "it never asks its distance for the matrix of the batch, so the harder negatives would not reach it"


class EmbeddingExpansion(LossWrapper):
    r"""A PML loss whose negatives are as near as the points between same-class embeddings can bring them.

    Between the two embeddings of every pair, `num_points` interior points divide the segment into equal parts. The
    loss and its miner then see, instead of their distances,

    .. math::
        M_{ij} = d(x_i, x_j) \text{ if } y_i = y_j, \text{ else } \min_{p \in S(i),\, q \in S(j)} d(p, q)

    where S(i) holds the points around row i (max for similarities). Positives stay the original pairs. There is no
    randomness and no state; gradients reach both ends of every segment.

    Args:
        loss: a PML loss that asks its distance for the matrix of the batch.
        num_points: interior points a pair; 0 gives the bare loss.
        miner: mines on the same matrix; used where the call brings no `indices_tuple`.
        normalize: bring embeddings and points to unit length, as the official network head and code do; with an
            introspective distance, the semantic part of each.
        pairing: "within_class" (disjoint pairs of equal labels in the order of the batch), "adjacent" (rows 0 and 1,
            2 and 3, ..., whatever their labels: the official code) or "all_pairs" (every positive pair: the paper's
            formula, and the dearest).
        anchor_points: "class" (S(i) joins the points of the whole class: the paper) or "own" (the points of row i's
            own pairs: the official code).

    Shapes:
        (N, D), (N,) -> what the wrapped loss's reducer gives

    Raises:
        ValueError: an argument out of range; a loss or miner that EE makes no sense around.
        TypeError: `loss` or `miner` is none of PML's.

    Source: Ko and Gu, "Embedding Expansion: Augmentation in Embedding Space for Deep Metric Learning", CVPR 2020;
    github.com/clovaai/embedding-expansion (embedding_aug.py, hphn_triplet.py). That code is this wrapper around
    TripletMarginLoss with BatchHardMiner, `pairing="adjacent"`, `anchor_points="own"`. Deviations by default: pairs
    are found by label and pooled over the class, as in the paper; anchors without a positive or a negative are
    skipped by PML's miner instead of contributing a constant; ties do not multiply the gradient.

    Example:
        >>> from pytorch_metric_learning.losses import TripletMarginLoss
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.1], [0.1, -1.0]])
        >>> y = torch.tensor([0, 0, 1, 1])
        >>> bool(EmbeddingExpansion(TripletMarginLoss(margin=1.0))(x, y) > TripletMarginLoss(margin=1.0)(x, y))
        True
    """

    refusals: ClassVar[Mapping[type[nn.Module], str]] = {
        losses.AngularLoss: _NO_MATRIX,
        losses.NPairsLoss: "it takes one pair of each class out of the batch before it asks for distances",
        losses.ThresholdConsistentMarginLoss: _NO_MATRIX,
        losses.VICRegLoss: "it has no distance and no negatives",
        losses.InstanceLoss: "it makes every sample a class of its own, so no two embeddings share one",
        losses.ManifoldLoss: _PROXIES,
        **dict.fromkeys(LAYOUTS, _PROXIES),
        miners.AngularMiner: "it measures angles in triplets of embeddings and never asks for the matrix",
        ExpansionMiner: "it expands the batch by itself; hand over the miner inside it",
        LossWrapper: "it gives its loss more to compare than this batch; put EmbeddingExpansion around a bare loss of "
        "pairs or triplets, and other wrappers around EmbeddingExpansion",
    }

    def __init__(
        self,
        loss: losses.BaseMetricLossFunction,
        num_points: int = 2,
        miner: miners.BaseMiner | None = None,
        normalize: bool = True,
        pairing: str = "within_class",
        anchor_points: str = "class",
    ) -> None:
        super().__init__(loss, miner)
        self.expansion = Expansion(num_points, normalize, pairing, anchor_points)
        self.add_to_recordable_attributes(name="num_points", is_stat=False)
        self.add_to_recordable_attributes(name="num_synthetic", is_stat=True)

    @property
    def num_points(self) -> int:
        """Interior points a pair."""
        return self.expansion.num_points

    def wrapped(self, batch: Batch, **draws: Any) -> Tensor:
        embeddings, labels, indices_tuple, ref_emb, ref_labels = batch
        if self.num_points == 0:
            if indices_tuple is None and self.miner is not None:
                indices_tuple = self.miner(embeddings, labels, ref_emb, ref_labels)
            return self.loss(embeddings, labels, indices_tuple, ref_emb, ref_labels)

        query, reference = self.expansion.expand_both(embeddings, labels, ref_emb, ref_labels, self.loss.distance)
        self.num_synthetic = query.num_synthetic
        matrix = self.expansion.pool(self.loss.distance, query, reference)
        if indices_tuple is None and self.miner is not None:
            indices_tuple = self._mine(batch, query, reference, matrix)
        precomputed = PrecomputedDistance(self.loss.distance, matrix)
        with swapped(self.loss, distance=precomputed):
            value = self.loss(embeddings, labels, indices_tuple, ref_emb, ref_labels)
        if not precomputed.was_asked and _has_tuples(query.labels, reference.labels, indices_tuple):
            raise ValueError(f"EmbeddingExpansion cannot wrap {type(self.loss).__name__}: {_NO_MATRIX}")
        return value

    def _mine(self, batch: Batch, query: Expanded, reference: Expanded, matrix: Tensor) -> tuple[Tensor, ...]:
        assert self.miner is not None
        with torch.no_grad():
            if not measure_alike(self.miner.distance, self.loss.distance):
                matrix = self.expansion.pool(self.miner.distance, query, reference)
            with swapped(self.miner, distance=PrecomputedDistance(self.miner.distance, matrix.detach())):
                return self.miner(batch.embeddings, batch.labels, batch.ref_emb, batch.ref_labels)


def _has_tuples(labels: Tensor, ref_labels: Tensor, indices_tuple: tuple[Tensor, ...] | None) -> bool:
    if indices_tuple is not None:
        return all(len(rows) > 1 for rows in indices_tuple)  # PML's pair losses take a single pair for none
    same_class = labels[:, None] == ref_labels
    return bool((same_class.sum(dim=1) > 1).any() and not same_class.all())
