"""Embedding Expansion around any PML loss that compares embeddings with each other, or with proxies of classes."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor

from pml_aug.distances.delegating import PrecomputedDistance, replaced_distance, same_distance
from pml_aug.expansion.points import ExpandedBatch, Expansion, num_points_compared
from pml_aug.expansion.pooling import SELECTIONS, PooledProxyDistance, pool, random_hardness, share_at_points
from pml_aug.host import MATRIX
from pml_aug.miners.expansion_miner import TuplesByPoints
from pml_aug.validation import check_choice, check_class_labels
from pml_aug.wrappers.base import Batch, IndicesTuple, LossWrapper, innermost
from pml_aug.wrappers.misuse import warn_once
from pml_aug.wrappers.proxy_synthesis import ProxySynthesis

_NO_MATRIX = "it never uses the distance matrix of the batch, so the harder negatives would not reach it"
_OWN_LOGITS = "it compares embeddings with its classes by itself, so the points would not reach it"


class EmbeddingExpansion(LossWrapper):
    r"""A PML loss whose negatives are as near as the points between same-class embeddings can be.

    Between the two embeddings of every pair, `num_points` interior points divide the segment into equal parts. The
    loss and its miner then see, instead of their distances,

    .. math::
        M_{ij} = d(x_i, x_j) \text{ if } y_i = y_j, \text{ else } \min_{p \in S(i),\, q \in S(j)} d(p, q)

    where S(i) holds the points around row i (max for similarities). Positives remain the original pairs. Where the
    loss compares embeddings with proxies, the columns are proxies and S(j) is the proxy alone; this includes the
    synthetic proxies of a ProxySynthesis inside. There is no state and, by default, no randomness; the gradient of each
    distance reaches both ends of the segments that its points lie on.

    Args:
        loss: a PML loss that uses the distance matrix of the batch, or of batch and proxies; or ProxySynthesis around
            such a loss.
        num_points: interior points per pair, an integer of at least 0; 0 is the baseline loss.
        miner: mines on the same matrix of the batch. PML's proxy losses weight rows by what it finds. Give it to this
            wrapper instead of the trainer.
        normalize: normalise embeddings and points, as the official network head and code do; with an introspective
            distance, the semantic part of each.
        pairing: "within_class" (disjoint pairs of equal labels in the order of the batch), "adjacent" (rows 0 and 1,
            2 and 3, ..., regardless of their labels: the official code) or "all_pairs" (every positive pair: the
            paper's formula, and the slowest).
        anchor_points: "class" (S(i) has the points of the whole class: the paper) or "own" (the points of row i's own
            pairs: the official code).
        select: "hardest" as above, or "random": a random pair of S(i) x S(j), rows included, each equally likely; drawn
            once per call for each two groups of rows that share their points (with `anchor_points="class"`, classes).
            This is the control that shows what the choice of the hardest adds.

    Attributes:
        num_synthetic: number of points that took part in the last call; 0 where no class has two rows, or where the
            batch has a single class.
        synthetic_share: the share of the distances between classes in the last call that were those of a point rather
            than of two rows, from 0 to 1; a scalar tensor, so that no call waits for a device.

    Shapes:
        (N, D), (N,) -> what the wrapped loss's reducer returns

    Raises:
        ValueError: an argument out of range; a loss or miner that EE cannot act on; in a call, a label without a
            proxy, or `indices_tuple` beside a miner of the wrapper.
        TypeError: `loss` or `miner` is not from PML; an argument of another type.
        RuntimeError: in a call, another thread is using the wrapped loss or miner.

    Source: Ko and Gu, "Embedding Expansion: Augmentation in Embedding Space for Deep Metric Learning", CVPR 2020;
    github.com/clovaai/embedding-expansion (embedding_aug.py, hphn_triplet.py). That code is this wrapper around
    TripletMarginLoss with BatchHardMiner, `pairing="adjacent"`, `anchor_points="own"`. Deviations by default: pairs
    are found by label and pooled over the class, as in the paper; PML's miner skips anchors without a positive or a
    negative, which contribute a constant there; of tied distances a single one gets the gradient. The paper has no
    proxies.

    Example:
        >>> from pytorch_metric_learning.losses import TripletMarginLoss
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.1], [0.1, -1.0]])
        >>> y = torch.tensor([0, 0, 1, 1])
        >>> bool(EmbeddingExpansion(TripletMarginLoss(margin=1.0))(x, y) > TripletMarginLoss(margin=1.0)(x, y))
        True
    """

    needs: ClassVar[tuple[str, ...]] = (MATRIX,)
    wraps: ClassVar[tuple[type[LossWrapper], ...]] = (ProxySynthesis,)
    off: ClassVar[Mapping[str, Any]] = {"num_points": 0}

    def __init__(
        self,
        loss: losses.BaseMetricLossFunction,
        num_points: int = 2,
        miner: miners.BaseMiner | None = None,
        normalize: bool = True,
        pairing: str = "within_class",
        anchor_points: str = "class",
        select: str = "hardest",
    ) -> None:
        check_choice("select", select, SELECTIONS)
        super().__init__(loss, miner)
        self._check_inside()
        self.expansion = Expansion(num_points, normalize, pairing, anchor_points)
        layout = self.loss_facts.proxies
        self._proxies_per_class = 0 if layout is None else layout.count_per_class(innermost(loss))
        self._num_proxies = 0 if layout is None else layout.count(innermost(loss))
        self._select = select
        self.num_synthetic = 0
        self.synthetic_share: Tensor | float = 0.0
        self.add_to_recordable_attributes(name="num_points", is_stat=False)
        self.add_to_recordable_attributes(list_of_names=["num_synthetic", "synthetic_share"], is_stat=True)
        self.fix_attributes()

    @property
    def num_points(self) -> int:
        """Interior points per pair."""
        return self.expansion.num_points

    def wrapped(self, batch: Batch, generator: torch.Generator | None = None, **random_inputs: Any) -> Tensor:
        """The wrapped loss by the distances of the points.

        Args:
            batch: as for every wrapper.
            generator: source of the random numbers of `select="random"` and of a wrapper inside.
            random_inputs: for a wrapper inside.
        """
        self.num_synthetic, self.synthetic_share = 0, 0.0
        random_inputs = {**random_inputs, "generator": generator} if isinstance(self.loss, LossWrapper) else {}
        if batch.indices_tuple is not None and batch.ref_emb is None:
            self._check_tuples_of_batch(batch.indices_tuple)
        if self.num_points == 0:
            if batch.indices_tuple is None and self.miner is not None:
                batch = batch._replace(indices_tuple=self.miner(*batch[:2], *batch[3:]))
            return self.loss(*batch, **random_inputs)
        if self._num_proxies:
            return self._to_proxies(batch, generator, random_inputs)
        return self._among_rows(batch, generator)

    def _check_tuples_of_batch(self, indices_tuple: IndicesTuple) -> None:
        """Raise a ValueError or warn if a miner outside of the wrapper chose among the rows of the batch."""
        if self.miner is not None:
            raise ValueError(
                "EmbeddingExpansion takes no `indices_tuple` beside its own miner, which it would leave unused: remove "
                "the miner from the trainer, or from the wrapper"
            )
        if self.num_points and not isinstance(indices_tuple, TuplesByPoints):
            warn_once(
                "EmbeddingExpansion got an `indices_tuple` that was mined without its points: pass the miner to "
                "EmbeddingExpansion instead of the trainer, or put it into an ExpansionMiner"
            )

    def _among_rows(self, batch: Batch, generator: torch.Generator | None) -> Tensor:
        loss, miner = self.loss, self.miner
        points = self._expanded(batch, loss.distance)
        self.num_synthetic = num_points_compared(*points)
        hardness = self._drawn(points, generator)
        pooled = pool(loss.distance, *points, hardness)
        if self.num_synthetic:
            self.synthetic_share = share_at_points(pooled, *points)
        if batch.indices_tuple is None and miner is not None:
            shared = pooled.matrix if same_distance(miner.distance, loss.distance) else None
            batch = batch._replace(indices_tuple=self._mined(batch, points, hardness, shared))
        with replaced_distance(loss, PrecomputedDistance(loss.distance, pooled.matrix)) as distance:
            value = loss(*batch)
        if not distance.was_called and _has_tuples(points[0].labels, points[1].labels, batch.indices_tuple):
            raise ValueError(f"EmbeddingExpansion cannot wrap {type(loss).__name__}: {_NO_MATRIX}")
        return value

    def _to_proxies(self, batch: Batch, generator: torch.Generator | None, random_inputs: dict[str, Any]) -> Tensor:
        loss = innermost(self.loss)
        per_class = self._proxies_per_class
        check_class_labels(batch.labels, self._num_proxies // per_class, of=type(loss).__name__)
        if batch.indices_tuple is None and self.miner is not None:
            points = self._expanded(batch, self.miner.distance)
            batch = batch._replace(indices_tuple=self._mined(batch, points, self._drawn(points, generator)))
        pooled = PooledProxyDistance(loss.distance, self.expansion, batch.labels, per_class, self._select, generator)
        with replaced_distance(loss, pooled) as distance:
            value = self.loss(*batch, **random_inputs)
        if not distance.was_called:
            raise ValueError(f"EmbeddingExpansion cannot wrap {type(loss).__name__}: {_OWN_LOGITS}")
        self.num_synthetic, self.synthetic_share = distance.num_synthetic, distance.synthetic_share
        return value

    def _expanded(self, batch: Batch, distance: BaseDistance) -> tuple[ExpandedBatch, ExpandedBatch]:
        return self.expansion.expand_both(*batch[:2], *batch[3:], distance)

    def _drawn(self, points: tuple[ExpandedBatch, ExpandedBatch], generator: torch.Generator | None) -> Tensor | None:
        """Random numbers for the choice of points; None for the choice of the hardest."""
        return random_hardness(*points, generator) if self._select == "random" else None

    @torch.no_grad()
    def _mined(
        self,
        batch: Batch,
        points: tuple[ExpandedBatch, ExpandedBatch],
        hardness: Tensor | None,
        shared: Tensor | None = None,
    ) -> IndicesTuple:
        """The miner's tuples, by the matrix `shared` with the loss or else by its own distance."""
        miner = self.miner
        assert miner is not None
        distance = miner.distance
        matrix = pool(distance, *points, hardness).matrix if shared is None else shared.detach()
        with replaced_distance(miner, PrecomputedDistance(distance, matrix)):
            return miner(*batch[:2], *batch[3:])

    def _check_inside(self) -> None:
        """Raise a ValueError for parts that do not go together."""
        self.check_miner()
        if self.miner is not None and isinstance(self.loss, LossWrapper):
            raise ValueError(
                "EmbeddingExpansion takes no `miner` around ProxySynthesis, which reads no index tuples: leave it out"
            )
        if isinstance(self.loss, ProxySynthesis) and not self.loss.synthetic_proxies:
            raise ValueError(
                "EmbeddingExpansion cannot wrap ProxySynthesis(synthetic_proxies=False): mixtures of two classes have "
                "no distance to proxies of other classes that could be replaced; use synthetic_proxies=True"
            )


def _has_tuples(labels: Tensor, ref_labels: Tensor, indices_tuple: IndicesTuple | None) -> bool:
    if indices_tuple is not None:
        return all(len(rows) > 1 for rows in indices_tuple)  # PML's pair losses treat a single pair as none
    same_class = labels[:, None] == ref_labels
    return bool((same_class.sum(dim=1) > 1).any() and not same_class.all())
