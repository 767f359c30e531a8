"""Base class of the wrappers that put synthetic copies of rows beside their batch."""

from typing import Any

import torch
from pytorch_metric_learning.distances import BaseDistance
from pytorch_metric_learning.reducers import PerAnchorReducer
from torch import Tensor, nn

from pml_aug.distances.delegating import (
    PrecomputedDistance,
    compares_pairs,
    same_distance,
    without_normalization,
)
from pml_aug.host import CopyMode
from pml_aug.miners.expansion_miner import ExpansionMiner
from pml_aug.patching import patched
from pml_aug.regularizers.on_first_rows import OnFirstRows
from pml_aug.synthesis.synthetic import Synthetic
from pml_aug.wrappers.base import Batch, IndicesTuple, LossWrapper, innermost
from pml_aug.wrappers.copies import (
    MinerWithoutSelfCopies,
    default_tuples,
    mined,
    references_of,
    with_self_farthest,
    with_tuples_of_copies,
)
from pml_aug.wrappers.pooled_points_wrapper import PooledPointsWrapper


class CopiesWrapper(LossWrapper):
    """A PML loss on a batch and copies of its rows.

    A subclass makes the copies and calls one of two methods: :meth:`with_copies_in_batch`, in which copies are rows
    like all others, or :meth:`with_copies_beside_batch`, in which only the rows of the batch are anchors and copies of
    a row are not its positives. Regularizers see the batch only.

    Args, attributes and errors are those of :class:`LossWrapper`.
    """

    def with_copies_in_batch(
        self, batch: Batch, copies: Synthetic, random_inputs: dict[str, Any] | None = None
    ) -> Tensor:
        """The wrapped loss on batch and copies as one batch.

        Args:
            batch: labels on the device of the embeddings.
            copies: any number of them.
            random_inputs: for a wrapper inside.
        """
        embeddings = torch.cat([batch.embeddings, copies.embeddings])
        labels = torch.cat([batch.labels, copies.labels])
        indices_tuple = None if self.miner is None else self.miner(embeddings, labels)
        with patched(innermost(self.loss), **self._regularizer_of_first(len(batch.labels))):
            return self.loss(embeddings, labels, indices_tuple, **(random_inputs or {}))

    def with_copies_beside_batch(
        self,
        batch: Batch,
        copies: Synthetic,
        generator: torch.Generator | None = None,
        random_inputs: dict[str, Any] | None = None,
    ) -> Tensor:
        """The wrapped loss between the batch and its copies, without self-copies.

        Args:
            batch: labels on the device of the embeddings.
            copies: any number of them.
            generator: of a loss that draws its triplets.
            random_inputs: for a wrapper inside.
        """
        random_inputs = random_inputs or {}
        outer, miner, facts = self.loss, self.miner, self.loss_facts
        loss, shares_distance = innermost(outer), self._miner_shares_distance
        references = references_of(*batch[:2], copies, *batch[3:])
        distance = loss.distance
        if facts.copies is CopyMode.REFERENCES:
            apart = outer is loss and batch.ref_emb is None and compares_pairs(distance)
            if apart and not distance.collect_stats:
                distance = PrecomputedDistance(distance, distances_apart(distance, batch.embeddings, copies.embeddings))
            elif shares_distance:
                distance = PrecomputedDistance(distance, distance(references.embeddings, references.ref_emb))
        indices_tuple: IndicesTuple | None = None
        of_wrapper: dict[str, Any] = {}  # attributes of a wrapper inside that are overridden
        if batch.indices_tuple is not None:
            indices_tuple = with_tuples_of_copies(batch.indices_tuple, references, len(copies.source))
        elif miner is not None:
            indices_tuple = mined(miner, references, distance if shares_distance else None)
        elif isinstance(outer, PooledPointsWrapper) and outer.miner is not None:
            of_wrapper["miner"] = MinerWithoutSelfCopies(outer.miner, references)
        elif not facts.compares_all:
            indices_tuple = default_tuples(loss, facts.forms_triplets, references, generator)
        if facts.compares_all:
            distance = with_self_farthest(distance, references)
        with patched(loss, distance=distance), patched(outer, **of_wrapper):
            if facts.copies is CopyMode.REFERENCES:
                embeddings, labels, ref_emb, ref_labels, _ = references
                return outer(embeddings, labels, indices_tuple, ref_emb, ref_labels, **random_inputs)
            with patched(loss, **self._regularizer_of_first(len(batch.labels))):
                return outer(references.ref_emb, references.ref_labels, indices_tuple, **random_inputs)

    def check_square(self) -> None:
        """Raise a ValueError for a reducer that lays pairs out in a square, around rows with copies beside them."""
        loss = innermost(self.loss)
        if any(isinstance(module, PerAnchorReducer) for module in loss.modules()):
            raise ValueError(
                f"{type(self).__name__} cannot wrap {type(loss).__name__} with a PerAnchorReducer: it lays pairs out "
                "in a square of the batch, in which copies have no place; use another reducer"
            )

    @property
    def _miner_shares_distance(self) -> bool:
        """Whether one distance matrix serves miner and loss."""
        miner = self.miner
        if miner is None or isinstance(miner, ExpansionMiner):
            return False
        return same_distance(miner.distance, self.loss.distance)

    def _regularizer_of_first(self, num_rows: int) -> dict[str, nn.Module]:
        """The embedding regularizer of the wrapped loss, if it has one, for an enlarged batch."""
        regularizer = innermost(self.loss).embedding_regularizer
        return {} if regularizer is None else {"embedding_regularizer": OnFirstRows(regularizer, num_rows)}


def distances_apart(distance: BaseDistance, rows: Tensor, copies: Tensor) -> Tensor:
    """The distances of rows to each other and to copies, for which rows are normalised once: (N, N + M).

    Apart, because copies that are constants then take no part in the gradient.
    """
    rows, copies = distance.maybe_normalize(rows), distance.maybe_normalize(copies)
    measure = without_normalization(distance)
    return torch.cat([measure(rows), measure(rows, copies)], dim=1)
