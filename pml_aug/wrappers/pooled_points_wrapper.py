"""Base class of the wrappers that give a loss the distances between sets of points around its rows."""

from typing import Any

import torch
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor

from pml_aug.distances.delegating import PrecomputedDistance, replaced_distance, same_distance
from pml_aug.expansion.points import ExpandedBatch, Expansion, num_points_compared
from pml_aug.expansion.pooling import PooledProxyDistance, pool, random_hardness, share_at_points
from pml_aug.miners.expansion_miner import TuplesByPoints
from pml_aug.validation import check_class_labels
from pml_aug.wrappers.base import Batch, IndicesTuple, LossWrapper, innermost
from pml_aug.wrappers.misuse import warn_once

_NO_MATRIX = "it never uses the distance matrix of the batch, so the harder negatives would not reach it"
_OWN_LOGITS = "it compares embeddings with its classes by itself, so the points would not reach it"


class PooledPointsWrapper(LossWrapper):
    """A PML loss whose distances between classes are those between the points around the rows.

    A subclass constructs the expansion and ends its constructor with `fix_attributes`.

    Args:
        loss: a PML loss that uses the distance matrix of the batch, or of batch and proxies; or a wrapper around one.
        miner: mines on the same matrix of the batch.
        expansion: makes the points and says which are pooled together.
        select: "hardest", or "random" for a random pair of points.

    Attributes:
        num_synthetic: number of points that took part in the last call.
        synthetic_share: the share of the distances between classes in the last call that were those of a point rather
            than of two rows, from 0 to 1; a scalar tensor, so that no call waits for a device.
    """

    def __init__(
        self,
        loss: losses.BaseMetricLossFunction,
        miner: miners.BaseMiner | None,
        expansion: Expansion,
        select: str = "hardest",
    ) -> None:
        super().__init__(loss, miner)
        self.expansion = expansion
        layout = self.loss_facts.proxies
        self._proxies_per_class = 0 if layout is None else layout.count_per_class(innermost(loss))
        self._num_proxies = 0 if layout is None else layout.count(innermost(loss))
        self._select = select
        self.num_synthetic = 0
        self.synthetic_share: Tensor | float = 0.0
        self.add_to_recordable_attributes(list_of_names=["num_synthetic", "synthetic_share"], is_stat=True)

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
        if self.expansion.is_off:
            if batch.indices_tuple is None and self.miner is not None:
                batch = batch._replace(indices_tuple=self.miner(*batch[:2], *batch[3:]))
            return self.loss(*batch, **random_inputs)
        if self._num_proxies:
            return self._to_proxies(batch, generator, random_inputs)
        return self._among_rows(batch, generator)

    @property
    def draws(self) -> bool:
        """True with random instead of the hardest points."""
        return self._select == "random"

    def _check_tuples_of_batch(self, indices_tuple: IndicesTuple) -> None:
        """Raise a ValueError or warn if a miner outside of the wrapper chose among the rows of the batch."""
        name = type(self).__name__
        if self.miner is not None:
            raise ValueError(
                f"{name} takes no `indices_tuple` beside its own miner, which it would leave unused: remove the miner "
                "from the trainer, or from the wrapper"
            )
        if not self.expansion.is_off and not isinstance(indices_tuple, TuplesByPoints):
            warn_once(
                f"{name} got an `indices_tuple` that was mined without its points: pass the miner to {name} instead of "
                "the trainer, or put it into an ExpansionMiner"
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
            raise ValueError(f"{type(self).__name__} cannot wrap {type(loss).__name__}: {_NO_MATRIX}")
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
            raise ValueError(f"{type(self).__name__} cannot wrap {type(loss).__name__}: {_OWN_LOGITS}")
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


def _has_tuples(labels: Tensor, ref_labels: Tensor, indices_tuple: IndicesTuple | None) -> bool:
    if indices_tuple is not None:
        return all(len(rows) > 1 for rows in indices_tuple)  # PML's pair losses treat a single pair as none
    same_class = labels[:, None] == ref_labels
    return bool((same_class.sum(dim=1) > 1).any() and not same_class.all())
