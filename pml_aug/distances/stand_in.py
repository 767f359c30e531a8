"""What the distances that answer in place of others have in common."""

from typing import Any

from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor


class StandIn(BaseDistance):
    """A distance that gives a matrix of its own; direction, power, norm and all else are another distance's.

    Args:
        distance: the one that it stands in for.

    Attributes:
        was_asked: whether a matrix has been handed out.
    """

    def __init__(self, distance: BaseDistance) -> None:
        super().__init__(
            normalize_embeddings=distance.normalize_embeddings,
            p=distance.p,
            power=distance.power,
            is_inverted=distance.is_inverted,
            collect_stats=False,
        )
        self.distance = distance
        self.was_asked = False

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        return self.distance.compute_mat(query_emb, ref_emb)

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        return self.distance.pairwise_distance(query_emb, ref_emb)

    def normalize(self, embeddings: Tensor, dim: int = 1, **kwargs: Any) -> Tensor:
        return self.distance.normalize(embeddings, dim, **kwargs)

    def get_norm(self, embeddings: Tensor, dim: int = 1, **kwargs: Any) -> Tensor:
        return self.distance.get_norm(embeddings, dim, **kwargs)


def behind(distance: BaseDistance) -> BaseDistance:
    """The distance that all stand-ins stand in for."""
    while isinstance(distance, StandIn):
        distance = distance.distance
    return distance
