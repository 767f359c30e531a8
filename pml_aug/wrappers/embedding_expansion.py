"""Embedding Expansion around any PML loss that compares embeddings with each other, or with proxies of classes."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pytorch_metric_learning import losses, miners
from torch import Tensor, nn

from pml_aug.distances.alike import measure_alike
from pml_aug.distances.expanded import Expanded
from pml_aug.distances.expansion import Expansion
from pml_aug.distances.precomputed import PrecomputedDistance
from pml_aug.distances.to_proxies import DistanceToProxies
from pml_aug.losses.introspective_softmax_loss import IntrospectiveSoftmaxLoss
from pml_aug.miners.expansion_miner import ExpansionMiner
from pml_aug.patching import patched
from pml_aug.validation import check_class_labels
from pml_aug.wrappers.base import Batch, LossWrapper, innermost
from pml_aug.wrappers.proxies import layout_of
from pml_aug.wrappers.proxy_synthesis import ProxySynthesis
from pml_aug.wrappers.read_tuples import check_miner_is_read

_BY_ITSELF = "it works out by itself how embeddings compare with its classes, so the points would not reach it"
_NO_MATRIX = "it never asks its distance for the matrix of the batch, so the harder negatives would not reach it"


class EmbeddingExpansion(LossWrapper):
    r"""A PML loss whose negatives are as near as the points between same-class embeddings can bring them.

    Between the two embeddings of every pair, `num_points` interior points divide the segment into equal parts. The
    loss and its miner then see, instead of their distances,

    .. math::
        M_{ij} = d(x_i, x_j) \text{ if } y_i = y_j, \text{ else } \min_{p \in S(i),\, q \in S(j)} d(p, q)

    where S(i) holds the points around row i (max for similarities). Positives stay the original pairs. Where the loss
    compares embeddings with proxies, the columns are proxies and S(j) is the proxy alone; the same goes for the
    synthetic proxies of a ProxySynthesis inside. There is no randomness and no state; the gradient of each distance
    reaches both ends of the segments that its points lie on.

    Args:
        loss: a PML loss that asks its distance for the matrix of the batch, or of batch and proxies; or
            ProxySynthesis around one of these.
        num_points: interior points a pair; 0 gives the bare loss.
        miner: mines on the same matrix of the batch; used where the call brings no `indices_tuple`. PML's proxy losses
            weigh rows by what it finds.
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
        ValueError: an argument out of range; a loss or miner that EE makes no sense around; in a call, a label that
            no proxy has.
        TypeError: `loss` or `miner` is none of PML's.

    Source: Ko and Gu, "Embedding Expansion: Augmentation in Embedding Space for Deep Metric Learning", CVPR 2020;
    github.com/clovaai/embedding-expansion (embedding_aug.py, hphn_triplet.py). That code is this wrapper around
    TripletMarginLoss with BatchHardMiner, `pairing="adjacent"`, `anchor_points="own"`. Deviations by default: pairs
    are found by label and pooled over the class, as in the paper; anchors without a positive or a negative are
    skipped by PML's miner instead of contributing a constant; of tied distances one takes the gradient. The paper has
    no proxies.

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
        losses.ManifoldLoss: "it takes no labels, by which to tell whose embeddings to expand",
        losses.P2SGradLoss: _BY_ITSELF,
        IntrospectiveSoftmaxLoss: _BY_ITSELF,
        miners.AngularMiner: "it measures angles in triplets of embeddings and never asks for the matrix",
        ExpansionMiner: "it expands the batch by itself; hand over the miner inside it",
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
        self._check_inside()
        self.expansion = Expansion(num_points, normalize, pairing, anchor_points)
        self.add_to_recordable_attributes(name="num_points", is_stat=False)
        self.add_to_recordable_attributes(name="num_synthetic", is_stat=True)

    @property
    def num_points(self) -> int:
        """Interior points a pair."""
        return self.expansion.num_points

    def wrapped(self, batch: Batch, **draws: Any) -> Tensor:
        if not isinstance(self.loss, LossWrapper):
            draws = {}
        if self.num_points == 0:
            if batch.indices_tuple is None and self.miner is not None:
                batch = batch._replace(indices_tuple=self.miner(*batch[:2], *batch[3:]))
            return self.loss(*batch, **draws)
        if layout_of(innermost(self.loss)) is not None:
            return self._to_proxies(batch, draws)
        return self._among_rows(batch)

    def _among_rows(self, batch: Batch) -> Tensor:
        query, reference = self.expansion.expand_both(*batch[:2], *batch[3:], self.loss.distance)
        self.num_synthetic = query.num_synthetic
        matrix = self.expansion.pool(self.loss.distance, query, reference)
        if batch.indices_tuple is None and self.miner is not None:
            batch = batch._replace(indices_tuple=self._mined(batch, query, reference, matrix))
        precomputed = PrecomputedDistance(self.loss.distance, matrix)
        with patched(self.loss, distance=precomputed):
            value = self.loss(*batch)
        if not precomputed.was_asked and _has_tuples(query.labels, reference.labels, batch.indices_tuple):
            raise ValueError(f"EmbeddingExpansion cannot wrap {type(self.loss).__name__}: {_NO_MATRIX}")
        return value

    def _to_proxies(self, batch: Batch, draws: dict[str, Any]) -> Tensor:
        loss = innermost(self.loss)
        layout = layout_of(loss)
        assert layout is not None
        per_class = layout.count_per_class(loss)
        check_class_labels(batch.labels, layout.count(loss) // per_class, of=type(loss).__name__)
        if batch.indices_tuple is None and self.miner is not None:
            query, reference = self.expansion.expand_both(*batch[:2], *batch[3:], self.miner.distance)
            batch = batch._replace(indices_tuple=self._mined(batch, query, reference))
        distance = DistanceToProxies(loss.distance, self.expansion, batch.labels, per_class)
        with patched(loss, distance=distance):
            value = self.loss(*batch, **draws)
        if not distance.was_asked:
            raise ValueError(f"EmbeddingExpansion cannot wrap {type(loss).__name__}: {_BY_ITSELF}")
        self.num_synthetic = distance.num_synthetic
        return value

    def _mined(
        self, batch: Batch, query: Expanded, reference: Expanded, matrix: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """What the miner finds; by the loss's `matrix`, where they measure alike."""
        assert self.miner is not None
        with torch.no_grad():
            if matrix is None or not measure_alike(self.miner.distance, self.loss.distance):
                matrix = self.expansion.pool(self.miner.distance, query, reference)
            with patched(self.miner, distance=PrecomputedDistance(self.miner.distance, matrix.detach())):
                return self.miner(*batch[:2], *batch[3:])

    def _check_inside(self) -> None:
        """Raise a ValueError where parts that are good by themselves do not go together."""
        check_miner_is_read(self)
        if not isinstance(self.loss, LossWrapper):
            return
        name, bare = type(self.loss).__name__, type(innermost(self.loss))
        if not isinstance(self.loss, ProxySynthesis):
            raise ValueError(
                f"EmbeddingExpansion cannot wrap {name}: it gives its loss more to compare than this batch; of the "
                "wrappers, EmbeddingExpansion goes around ProxySynthesis only, and the others around it"
            )
        reason = next((self.refusals[kind] for kind in bare.__mro__ if kind in self.refusals), None)
        if reason is not None:
            raise ValueError(f"EmbeddingExpansion cannot wrap {bare.__name__} in {name}: {reason}")
        if self.miner is not None:
            raise ValueError(
                "EmbeddingExpansion takes no `miner` around ProxySynthesis, which reads no index tuples: leave it out"
            )


def _has_tuples(labels: Tensor, ref_labels: Tensor, indices_tuple: tuple[Tensor, ...] | None) -> bool:
    if indices_tuple is not None:
        return all(len(rows) > 1 for rows in indices_tuple)  # PML's pair losses take a single pair for none
    same_class = labels[:, None] == ref_labels
    return bool((same_class.sum(dim=1) > 1).any() and not same_class.all())
