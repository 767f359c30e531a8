"""Whole arcs between embeddings of unit length instead of points on their segments (LoOp)."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from pytorch_metric_learning.distances import BaseDistance, CosineSimilarity, DotProductSimilarity, LpDistance
from torch import Tensor

from pml_aug.expansion.points import ExpandedBatch, Expansion, groups_of_pairs
from pml_aug.synthesis.interpolate import to_unit_length


@dataclass(frozen=True)
class ArcBatch(ExpandedBatch):
    """One side of a distance matrix. Its entries are N rows, then the nearest inner point of the arc of each pair."""


@dataclass(frozen=True)
class Arcs(Expansion):
    """The settings of Embedding Expansion with infinitely many points, at unit length; expands batches.

    Args:
        num_points: 1, the point of each arc that is nearest to what it is compared with.
        normalize: True.
        pairing, anchor_points: as of :class:`Expansion`; not "all_pairs" with "own", as a row is an end of its arcs and
            brings its partners in.
    """

    num_points: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.normalize:
            raise ValueError("num_points='all' needs normalize=True: the arcs are those of the unit sphere")
        if self.anchor_points == "own" and self.pairing == "all_pairs":
            raise ValueError(
                'num_points="all" takes pairing="all_pairs" with anchor_points="class" only: a row would share '
                "its arcs with several rows"
            )

    def expand(
        self,
        embeddings: Tensor,
        labels: Tensor,
        distance: BaseDistance | None = None,
        num_paired: int | None = None,
    ) -> ArcBatch:
        fields = vars(super().expand(embeddings, labels, distance, num_paired))
        if self.anchor_points == "own":
            fields = fields | {"groups": groups_of_pairs(fields["pairs"], len(labels))}
        return ArcBatch(**fields)


def check_measures_arcs(distance: BaseDistance) -> None:
    """Raise a ValueError unless the nearest points of two arcs by this distance are those at the smallest angle."""
    if type(distance) is LpDistance:
        measures = distance.p == 2 and distance.power in (1, 2)
    else:
        measures = type(distance) in (CosineSimilarity, DotProductSimilarity) and distance.power == 1
    if not measures:
        raise ValueError(
            "num_points='all' needs PML's cosine, dot product or Euclidean distance, but got "
            f"{type(distance).__name__}: use a number of points"
        )


class Angles(NamedTuple):
    """Two rows of unit length that span an arc: cosine and sine of the angle between them."""

    cosine: Tensor
    sine: Tensor


class Nearest(NamedTuple):
    """The nearest inner points of two arcs, or of an arc and a row."""

    cosine: Tensor  # (...,), of the angle between them; -inf where the nearest point is an end of an arc
    first: Tensor  # (2, ...), weights of the two ends of the first arc in its point
    second: Tensor  # (2, ...), likewise of the second


def nearest_of_arc_and_row(products: Tensor, arc: Angles) -> Nearest:
    r"""The point of an arc that is nearest to a row, if it lies between the ends.

    With the products k of both ends with the row and the cosine c of the ends, it is along :math:`(k_a - c k_b) a +
    (k_b - c k_a) b`, the projection of the row on the plane of the arc.

    Args:
        products: (2, ...), of the first and the second end with the row.
        arc: broadcast against (...).
    """
    inverse_square = arc.sine.square().reciprocal()
    weights = (products - arc.cosine * products.flip(0)) * inverse_square
    length = (weights * products).sum(dim=0).clamp_min(0).sqrt()
    inside = (weights > 0).all(dim=0)
    whole = torch.stack([torch.ones_like(length), torch.zeros_like(length)])
    return Nearest(length.masked_fill(~inside, -torch.inf), weights / length, whole)


def nearest_of_two_arcs(products: Tensor, first: Angles, second: Angles) -> Nearest:
    r"""The nearest points of two arcs, if they lie between the ends.

    In orthonormal bases of both planes, the first vector of each being its first end, the products of the planes are a
    2 x 2 matrix; the smallest angle between the planes has its larger singular value as cosine. Its singular vectors
    are at angles from the first ends that have to be within both arcs.

    Args:
        products: (2, 2, ...), of the ends of the first arc with those of the second.
        first, second: broadcast against (...).
    """
    (ac, ad), (bc, bd) = products
    m11 = ac
    m12 = (ad - second.cosine * ac) / second.sine
    m21 = (bc - first.cosine * ac) / first.sine
    m22 = ((bd - second.cosine * bc) / second.sine - first.cosine * m12) / first.sine
    even, odd = torch.atan2(m21 + m12, m11 - m22), torch.atan2(m21 - m12, m11 + m22)
    cosine = (torch.hypot(m11 + m22, m21 - m12) + torch.hypot(m11 - m22, m21 + m12)) / 2
    of_first, inside_first = _ends_of((even + odd) / 2, first)
    of_second, inside_second = _ends_of((even - odd) / 2, second)
    # the opposite of both vectors is the same pair of planes' angle
    both = (inside_first == 1) & (inside_second == 1) | (inside_first == -1) & (inside_second == -1)
    return Nearest(cosine.masked_fill(~both, -torch.inf), of_first.abs(), of_second.abs())


def _ends_of(angle: Tensor, arc: Angles) -> tuple[Tensor, Tensor]:
    """The unit vector at an angle from the first end as weights of the ends, and 1 or -1 if all have that sign."""
    weights = torch.stack([torch.sin(torch.atan2(arc.sine, arc.cosine) - angle), torch.sin(angle)]) / arc.sine
    signs = weights.sign()
    return weights, torch.where(signs[0] == signs[1], signs[0], 0)


class DistancesOfArcs:
    """Distances between rows and the inner points of arcs of two sides, each point the nearest to the other one.

    The gradient is that of the distance of the points found; that they move has no part in it at a nearest point.

    Args:
        distance: one that :func:`check_measures_arcs` accepts, which does not normalise; called on the rows.
        query: N rows of unit length, and the arcs of P pairs or none.
        reference: R rows of unit length, and the arcs of Q pairs or none.

    Raises:
        ValueError: rows whose length is not one.
    """

    def __init__(self, distance: BaseDistance, query: ExpandedBatch, reference: ExpandedBatch) -> None:
        check_measures_arcs(distance)
        if distance.normalize_embeddings or any(side.to_unit is not to_unit_length for side in (query, reference)):
            raise ValueError("num_points='all' compares rows of unit length only: use a loss whose distance normalises")
        self.is_euclidean, self.power = not distance.is_inverted, distance.power
        self.plain = distance(query.embeddings, None if reference is query else reference.embeddings)
        self.products = self.plain
        if self.is_euclidean:
            self.products = 1 - (self.plain if self.power == 2 else self.plain.square()) / 2
        self.sides = query, reference
        self.cosines = [_cosines(side) for side in self.sides]

    @torch.no_grad()
    def hardness(self) -> Tensor:
        """(R + Q, N + P), the cosine; -inf where the nearest point of an arc is one of its ends, a row."""
        query, reference = self.sides
        products = self.products.detach()
        across = products.index_select(0, torch.cat(query.pairs)).unflatten(0, (2, -1))  # (2, P, R)
        down = products.index_select(1, torch.cat(reference.pairs)).unflatten(1, (2, -1)).transpose(0, 1)  # (2, N, Q)
        rows, columns = (_angles(cosines) for cosines in self.cosines)
        first = Angles(rows.cosine[:, None], rows.sine[:, None])
        both = torch.stack([down.index_select(1, ends) for ends in query.pairs])  # (2, 2, P, Q)
        blocks = [
            torch.cat([products, nearest_of_arc_and_row(down, columns).cosine], dim=1),
            torch.cat(
                [nearest_of_arc_and_row(across, first).cosine, nearest_of_two_arcs(both, first, columns).cosine], dim=1
            ),
        ]
        return torch.cat(blocks).T.to(torch.promote_types(products.dtype, torch.float32))

    def at(self, row: Tensor, column: Tensor) -> Tensor:
        """The distances at given entries: (G, H), (G, H) -> (G, H)."""
        sides = [_chosen(*each) for each in zip(self.sides, self.cosines, (row, column), strict=True)]
        (ends, cosine, is_arc), (ref_ends, ref_cosine, ref_is_arc) = sides
        index = ends[:, None] * self.products.shape[1] + ref_ends
        products = self.products.flatten().index_select(0, index.flatten()).view_as(index)  # (2, 2, G, H)
        first, second = _weights(products.detach(), cosine.detach(), is_arc, ref_cosine.detach(), ref_is_arc)
        values = (products * first[:, None] * second).sum(dim=(0, 1))
        lengths = [
            weights.square().sum(dim=0) + 2 * weights.prod(dim=0) * each
            for weights, each in ((first, cosine), (second, ref_cosine))
        ]
        values = values * (lengths[0] * lengths[1]).rsqrt()
        if not self.is_euclidean:
            return values
        limits = torch.finfo(values.dtype)
        squares = 2 - 2 * values
        squares = squares.masked_fill(squares <= 8 * limits.eps, limits.tiny)  # where the root has an infinite slope
        return squares if self.power == 2 else squares.sqrt()


def _cosines(side: ExpandedBatch) -> Tensor:
    """Products of both ends of each pair: (P,)."""
    return torch.linalg.vecdot(side.embeddings[side.pairs.start], side.embeddings[side.pairs.end])


def _angles(cosine: Tensor) -> Angles:
    """NaN for ends that are equal or opposite up to rounding, between which there is no point, or no single arc."""
    sine = (1 - cosine.square()).clamp_min(0).sqrt()
    return Angles(cosine, sine.masked_fill(sine < math.sqrt(torch.finfo(sine.dtype).eps), torch.nan))


def _chosen(side: ExpandedBatch, cosines: Tensor, entry: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Both ends of each entry (2, ...), their product, 1 for a row, and whether it is an arc."""
    num_rows = len(side.labels)
    rows = torch.arange(num_rows, device=entry.device)
    ends = torch.stack([torch.cat([rows, end]).index_select(0, entry.flatten()) for end in side.pairs])
    every = torch.cat([cosines.new_ones(num_rows), cosines]).index_select(0, entry.flatten())
    return ends.view(2, *entry.shape), every.view_as(entry), entry >= num_rows


def _weights(
    products: Tensor, cosine: Tensor, is_arc: Tensor, ref_cosine: Tensor, ref_is_arc: Tensor
) -> tuple[Tensor, Tensor]:
    """Weights of the ends in the points of the chosen entries: (2, G, H), (2, G, H)."""
    first, second = _angles(cosine), _angles(ref_cosine)
    whole = torch.stack([torch.ones_like(cosine), torch.zeros_like(cosine)])
    two = nearest_of_two_arcs(products, first, second)
    to_column, to_row = nearest_of_arc_and_row(products[:, 0], first), nearest_of_arc_and_row(products[0], second)
    of_first = torch.where(ref_is_arc, two.first, to_column.first)
    of_second = torch.where(is_arc, two.second, to_row.first)
    return torch.where(is_arc, of_first, whole), torch.where(ref_is_arc, of_second, whole)
