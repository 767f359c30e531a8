"""A cosine or distance that stays inside of its range."""

import torch
from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor

from pml_aug.distances.stand_in import StandIn


class WithinBounds(StandIn):
    """Another distance's values, kept a rounding step or two away from the largest of either sign.

    By rounding a cosine may exceed 1, and of equal rows it is 1, where arc cosine has no derivative and a histogram no
    bin. Entries that are moved get no gradient.

    Args:
        distance: a similarity in [-1, 1], or anything with another largest value.
        largest: of the values.

    Example:
        >>> from pytorch_metric_learning.distances import CosineSimilarity
        >>> bool((WithinBounds(CosineSimilarity())(torch.eye(2)) < 1).all())
        True
    """

    def __init__(self, distance: BaseDistance, largest: float = 1.0) -> None:
        super().__init__(distance)
        self.largest = largest

    def forward(self, query_emb: Tensor, ref_emb: Tensor | None = None) -> Tensor:
        self.was_asked = True
        matrix: Tensor = self.distance(query_emb, ref_emb)
        largest = self.largest * (1 - 4 * torch.finfo(matrix.dtype).eps)
        return matrix.clamp(-largest, largest)
