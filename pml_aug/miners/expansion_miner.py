"""Any PML miner on the pooled distances of Embedding Expansion."""

from typing import ClassVar

import torch
from pytorch_metric_learning.miners import BaseMiner
from torch import Tensor

from pml_aug.distances.delegating import PrecomputedDistance, replaced_distance
from pml_aug.expansion.points import Expansion, num_points_compared
from pml_aug.expansion.pooling import pooled_distances
from pml_aug.host import Facts, refuse
from pml_aug.validation import exclusive

_NO_MATRIX = "it never uses the distance matrix of the batch, so the points would not reach it"


class TuplesByPoints(tuple[Tensor, ...]):
    """Pairs or triplets that were mined with the points; EmbeddingExpansion accepts them without a warning."""


class ExpansionMiner(BaseMiner):
    r"""Pairs or triplets of rows, mined by the distances between the points of same-class rows.

    The wrapped miner sees the matrix of :func:`pooled_distances` instead of the distances of the rows: a negative
    counts as being as near as the points around both rows are. Its pairs and triplets are rows of the batch (or of
    `ref_emb`), so any PML loss takes them, and a PML trainer takes this miner as its `tuple_miner`. The loss then
    measures the rows themselves; EmbeddingExpansion is for a loss that sees the points, too.

    Args:
        miner: a PML miner that uses the distance matrix of the batch.
        num_points: interior points per pair, an integer of at least 0; 0 is the baseline miner.
        normalize: normalise embeddings and points before they are compared.
        pairing: "within_class", "adjacent" or "all_pairs", see EmbeddingExpansion.
        anchor_points: "class" or "own", see EmbeddingExpansion.

    Attributes:
        num_synthetic: number of points that took part in the last call.

    Shapes:
        (N, D), (N,) -> what the wrapped miner returns

    Raises:
        ValueError: an argument out of range; a miner that the points do not reach.
        TypeError: `miner` is not from PML; an argument of another type.
        RuntimeError: in a call, another thread is using the wrapped miner.

    Source: Ko and Gu, "Embedding Expansion", CVPR 2020; there the loss always uses the distances that were mined by.

    Example:
        >>> from pytorch_metric_learning import miners
        >>> from pytorch_metric_learning.distances import LpDistance
        >>> rows = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 1.0], [1.0, 3.0], [2.5, 1.0], [4.0, 1.0]])
        >>> labels = torch.tensor([0, 0, 1, 1, 2, 2])
        >>> hardest = miners.BatchHardMiner(distance=LpDistance(normalize_embeddings=False))
        >>> expanded = ExpansionMiner(hardest, num_points=1, normalize=False)
        >>> [miner(rows, labels)[2][1].item() for miner in (hardest, expanded)]  # of row 1; row 2 is 1 from (1, 0)
        [4, 2]
    """

    facts: ClassVar[Facts] = Facts(
        refused_by={"EmbeddingExpansion": "it expands the batch by itself; pass the miner inside it"}
    )

    def __init__(
        self,
        miner: BaseMiner,
        num_points: int = 2,
        normalize: bool = True,
        pairing: str = "within_class",
        anchor_points: str = "class",
    ) -> None:
        name = type(miner).__name__
        if not isinstance(miner, BaseMiner):
            raise TypeError(
                f"ExpansionMiner expected argument `miner` to be a BaseMiner of pytorch-metric-learning, but got {name}"
            )
        if isinstance(miner, ExpansionMiner):
            raise ValueError("ExpansionMiner cannot wrap ExpansionMiner: it expands the batch already")
        refuse(miner, self, f"ExpansionMiner cannot wrap {name}")
        super().__init__(distance=miner.distance)
        self.miner = miner
        self.expansion = Expansion(num_points, normalize, pairing, anchor_points)
        self.num_synthetic = 0
        self.add_to_recordable_attributes(name="num_points", is_stat=False)
        self.add_to_recordable_attributes(name="num_synthetic", is_stat=True)

    @property
    def num_points(self) -> int:
        """Interior points per pair."""
        return self.expansion.num_points

    def mine(self, embeddings: Tensor, labels: Tensor, ref_emb: Tensor, ref_labels: Tensor) -> tuple[Tensor, ...]:
        self.num_synthetic = 0
        with_itself = ref_emb is embeddings
        embeddings = _at_least_single(embeddings)
        ref_emb = embeddings if with_itself else _at_least_single(ref_emb)
        with exclusive(self.miner), torch.autocast(embeddings.device.type, enabled=False):
            if self.expansion.is_off:
                return self.miner(embeddings, labels, ref_emb, ref_labels)
            points = self.expansion.expand_both(embeddings, labels, ref_emb, ref_labels, self.distance)
            self.num_synthetic = num_points_compared(*points)
            precomputed = PrecomputedDistance(self.distance, pooled_distances(self.distance, *points))
            with replaced_distance(self.miner, precomputed):
                found = self.miner(embeddings, labels, ref_emb, ref_labels)
        if not precomputed.was_called and any(len(rows) > 0 for rows in found):
            raise ValueError(f"ExpansionMiner cannot wrap {type(self.miner).__name__}: {_NO_MATRIX}")
        return TuplesByPoints(found)


def _at_least_single(rows: Tensor) -> Tensor:
    """Half precision raised to float32: it breaks `cdist`, and ties distances that differ."""
    return rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows
