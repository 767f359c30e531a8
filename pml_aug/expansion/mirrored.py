"""Pairs of rows with their mirrors, which are pooled together (Symmetrical Synthesis)."""

from dataclasses import dataclass

import torch
from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor
from torch.nn.functional import normalize

from pml_aug.distances.delegating import DelegatingDistance
from pml_aug.expansion.points import ExpandedBatch, Expansion, groups_of_pairs
from pml_aug.synthesis.mirror import mirror, mirror_weights


@dataclass(frozen=True)
class MirroredBatch(ExpandedBatch):
    """One side of a distance matrix whose points are the two mirrors of each pair."""

    scale_to_axis: bool = False

    @property
    def num_acting(self) -> int:
        """2 P: the mirrors or, without them, the rows that are pooled with their partner."""
        return 2 * len(self.pairs.start)

    @property
    def points(self) -> Tensor:
        """(2 P, D): the second row of every pair at the first one, then the first row at the second one."""
        first, second = (self.embeddings[rows] for rows in self.pairs)
        return torch.cat([mirror(second, first, self.scale_to_axis), mirror(first, second, self.scale_to_axis)])

    def combinations(self, squares: Tensor, product: Tensor) -> tuple[Tensor, Tensor]:
        return mirror_weights(squares, product, self.scale_to_axis)


@dataclass(frozen=True)
class Mirroring(Expansion):
    """The settings of Symmetrical Synthesis; expands batches.

    Args:
        num_points: 2 for the mirrors of each pair, or 0.
        normalize, pairing: as of :class:`Expansion`; the pairs must be disjoint.
        pools: whether the rows of a pair are pooled together, with their mirrors; else nothing changes.
        scale_to_axis: as of :func:`mirror`.

    Example:
        >>> batch = Mirroring(2, normalize=False).expand(torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([0, 0]))
        >>> batch.points.tolist(), batch.groups.of_row.tolist()
        ([[1.0, -1.0], [0.0, 1.0]], [0, 0])
    """

    anchor_points: str = "own"
    pools: bool = True
    scale_to_axis: bool = False

    @property
    def is_off(self) -> bool:
        return not self.pools

    def expand(
        self,
        embeddings: Tensor,
        labels: Tensor,
        distance: BaseDistance | None = None,
        num_paired: int | None = None,
    ) -> MirroredBatch:
        side = super().expand(embeddings, labels, distance, num_paired)
        groups = groups_of_pairs(side.pairs, len(labels))
        fields = vars(side) | {"groups": groups, "scale_to_axis": self.scale_to_axis}
        return MirroredBatch(**fields)


class MirroredPairDistance(DelegatingDistance):
    r"""Distances of anchors to positives, each the hardest of six between two pairs and their mirrors.

    Of pair i (:math:`a_i, p_i`) with mirrors :math:`S_i` (p at a) and :math:`S'_i` (a at p) and pair j, these are those
    of :math:`(a_i, p_j), (a_i, S_j), (a_i, S'_j), (p_i, S_j), (p_i, S'_j), (S_i, S'_j)`. Of equally hard ones, each
    gets an equal part of the gradient.

    Args:
        distance: the loss's own.
        to_unit: normalise the rows first.
        hardest_positives: also for i = j; else this is the distance of the pair itself.
        scale_to_axis: as of :func:`mirror`.

    Attributes:
        num_synthetic: number of mirrors, once called.
        synthetic_share: scalar, the share of the distances between pairs that are those of a mirror.

    Shapes:
        (P, D), (P, D) -> (P, P)

    Source: Gu and Ko, "Symmetrical Synthesis for Deep Metric Learning", AAAI 2020;
    github.com/clovaai/symmetrical-synthesis, where also the positives are the hardest.
    """

    def __init__(self, distance: BaseDistance, to_unit: bool, hardest_positives: bool, scale_to_axis: bool) -> None:
        super().__init__(distance)
        self.to_unit = to_unit
        self.hardest_positives = hardest_positives
        self.scale_to_axis = scale_to_axis
        self.num_synthetic = 0
        self.synthetic_share: Tensor | float = 0.0

    def forward(self, query_emb: Tensor, ref_emb: Tensor | None = None) -> Tensor:
        if ref_emb is None or query_emb.shape != ref_emb.shape:
            raise ValueError("the loss compares other rows than the anchors and the positives of pairs")
        anchors, positives = (normalize(rows) if self.to_unit else rows for rows in (query_emb, ref_emb))
        first, second = mirror(positives, anchors, self.scale_to_axis), mirror(anchors, positives, self.scale_to_axis)
        plain: Tensor = self.distance(anchors, positives)
        compared = ((anchors, first), (anchors, second), (positives, first), (positives, second), (first, second))
        distances = torch.stack([plain, *(self.distance(*both) for both in compared)])
        hardest = distances.amax(dim=0) if self.distance.is_inverted else distances.amin(dim=0)
        own = torch.eye(len(plain), dtype=torch.bool, device=plain.device)
        self.was_called = True
        self.num_synthetic = 2 * len(plain)
        self.synthetic_share = ((hardest != plain) & ~own).sum() / (~own).sum().clamp_min(1)
        return hardest if self.hardest_positives else torch.where(own, plain, hardest)
