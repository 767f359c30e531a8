"""A distance that answers with a matrix made beforehand."""

from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor

from pml_aug.distances.stand_in import StandIn


class PrecomputedDistance(StandIn):
    """A given matrix wherever another distance's matrix is asked for.

    Losses and miners write into the matrix that they get (MultiSimilarityMiner, BatchEasyHardMiner, NCALoss), so
    each call hands out its own copy.

    Args:
        distance: the distance it stands in for.
        matrix: (N, R), the distances between the rows that the loss or miner will ask about.

    Raises:
        ValueError: when asked about another number of rows or columns than the matrix has.

    Example:
        >>> import torch
        >>> from pytorch_metric_learning.distances import LpDistance
        >>> PrecomputedDistance(LpDistance(), torch.zeros(2, 2))(torch.eye(2)).tolist()
        [[0.0, 0.0], [0.0, 0.0]]
    """

    def __init__(self, distance: BaseDistance, matrix: Tensor) -> None:
        super().__init__(distance)
        self.matrix = matrix

    def forward(self, query_emb: Tensor, ref_emb: Tensor | None = None) -> Tensor:
        asked = (len(query_emb), len(query_emb if ref_emb is None else ref_emb))
        if asked != self.matrix.shape:
            raise ValueError(
                f"the loss or miner asked for the distances of {asked[0]} to {asked[1]} rows, but the matrix made for "
                f"this batch is {tuple(self.matrix.shape)}: it does not compare the batch with itself (or with "
                "ref_emb), so it cannot be handed a matrix"
            )
        self.was_asked = True
        return self.matrix.clone()
