"""Distances that delegate to another distance, and equality of distances."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from pytorch_metric_learning.distances import (
    BaseDistance,
    CosineSimilarity,
    DotProductSimilarity,
    LpDistance,
    SNRDistance,
)
from torch import Tensor, nn

Kind = TypeVar("Kind", bound=type[BaseDistance])
DelegatingKind = TypeVar("DelegatingKind", bound="DelegatingDistance")


class DelegatingDistance(BaseDistance):
    """A distance with its own matrix; direction, power, norm and everything else are those of another distance.

    Args:
        distance: the distance that it delegates to.

    Attributes:
        was_called: whether the matrix has been computed or returned.
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
        self.was_called = False

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        return self.distance.compute_mat(query_emb, ref_emb)

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        return self.distance.pairwise_distance(query_emb, ref_emb)

    def normalize(self, embeddings: Tensor, dim: int = 1, **kwargs: Any) -> Tensor:
        return self.distance.normalize(embeddings, dim, **kwargs)

    def get_norm(self, embeddings: Tensor, dim: int = 1, **kwargs: Any) -> Tensor:
        return self.distance.get_norm(embeddings, dim, **kwargs)


class PrecomputedDistance(DelegatingDistance):
    """A given matrix in place of the distances of the batch.

    Losses and miners write into the matrix that they get (MultiSimilarityMiner, BatchEasyHardMiner, NCALoss), so each
    call returns a copy.

    Args:
        distance: the distance that it delegates everything else to.
        matrix: (N, R), the distances between the rows that the loss or miner will compare.

    Raises:
        ValueError: in a call, when the number of rows or columns differs from the matrix.

    Example:
        >>> PrecomputedDistance(LpDistance(), torch.zeros(2, 2))(torch.eye(2)).tolist()
        [[0.0, 0.0], [0.0, 0.0]]
    """

    def __init__(self, distance: BaseDistance, matrix: Tensor) -> None:
        super().__init__(distance)
        self.matrix = matrix

    def forward(self, query_emb: Tensor, ref_emb: Tensor | None = None) -> Tensor:
        shape = (len(query_emb), len(query_emb if ref_emb is None else ref_emb))
        if shape != self.matrix.shape:
            raise ValueError(
                f"the loss or miner compares {shape[0]} with {shape[1]} rows, but the matrix of this batch is "
                f"{tuple(self.matrix.shape)}: it must compare the batch with itself (or with ref_emb) to use a "
                "precomputed matrix"
            )
        self.was_called = True
        return self.matrix.clone()


class ClampedDistance(DelegatingDistance):
    """Another distance, clamped to slightly less than its largest absolute value.

    Rounding can push a cosine above 1. At exactly 1, as for equal rows, arc cosine has no derivative and a histogram
    has no bin. Clamped entries get no gradient.

    Args:
        distance: a similarity in [-1, 1], or a distance with another largest value.
        largest: the largest absolute value of `distance`.

    Example:
        >>> bool((ClampedDistance(CosineSimilarity())(torch.eye(2)) < 1).all())
        True
    """

    def __init__(self, distance: BaseDistance, largest: float = 1.0) -> None:
        super().__init__(distance)
        self.largest = largest

    def forward(self, query_emb: Tensor, ref_emb: Tensor | None = None) -> Tensor:
        self.was_called = True
        matrix: Tensor = self.distance(query_emb, ref_emb)
        largest = self.largest * (1 - 4 * torch.finfo(matrix.dtype).eps)
        return matrix.clamp(-largest, largest)


def unwrap(distance: BaseDistance) -> BaseDistance:
    """The distance inside all delegating distances."""
    while isinstance(distance, DelegatingDistance):
        distance = distance.distance
    return distance


@contextmanager
def replaced_distance(module: nn.Module, distance: DelegatingKind) -> Iterator[DelegatingKind]:
    """Let `module`, a loss or miner, measure by `distance` inside the block, and by its own distance after it.

    Example:
        >>> from pytorch_metric_learning.losses import ContrastiveLoss
        >>> loss = ContrastiveLoss(pos_margin=0.0)
        >>> with replaced_distance(loss, PrecomputedDistance(loss.distance, torch.full((2, 2), 7.0))):
        ...     loss(torch.eye(2), torch.tensor([0, 0])).item()
        7.0
    """
    own = module.distance
    module.distance = distance
    try:
        yield distance
    finally:
        module.distance = own


def defined_by_settings(kind: Kind) -> Kind:
    """Class decorator: two distances of exactly this class are the same if their plain attributes are equal."""
    _DEFINED_BY_SETTINGS.add(kind)
    return kind


_DEFINED_BY_SETTINGS: set[type[BaseDistance]] = {CosineSimilarity, DotProductSimilarity, LpDistance, SNRDistance}


def without_normalization(distance: BaseDistance) -> BaseDistance:
    """A copy of `distance` for rows that are normalised already; `distance` stays as it is.

    Example:
        >>> without_normalization(LpDistance()).normalize_embeddings
        False
    """
    measure = copy.copy(distance)
    measure.normalize_embeddings = False
    return measure


def compares_pairs(distance: BaseDistance) -> bool:
    """Whether each entry of the matrix of `distance` is known to depend on two rows alone.

    Example:
        >>> compares_pairs(LpDistance()), compares_pairs(ClampedDistance(LpDistance()))
        (True, False)
    """
    return type(distance) in _DEFINED_BY_SETTINGS


def same_distance(first: BaseDistance, second: BaseDistance) -> bool:
    """Whether two distances are known to be equal, so that one matrix serves both.

    They are if they are one object, or of one class of PML or pml_aug with equal settings. Of other classes it is not
    known what else determines them.

    Example:
        >>> same_distance(LpDistance(), LpDistance()), same_distance(LpDistance(), LpDistance(power=2))
        (True, False)
    """
    if first is second:
        return True
    if type(first) is not type(second) or type(first) not in _DEFINED_BY_SETTINGS:
        return False
    return _settings(first) == _settings(second)


def _settings(distance: BaseDistance) -> dict[str, Any]:
    statistics = ["training", *getattr(distance, "_record_these_stats", [])]
    return {name: value for name, value in vars(distance).items() if name[0] != "_" and name not in statistics}
