"""The distance matrices of Embedding Expansion: negatives as near as the points around both rows can be."""

from typing import NamedTuple

import torch
from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor

from pml_aug.distances.delegating import DelegatingDistance, without_normalization
from pml_aug.expansion.arcs import ArcBatch, DistancesOfArcs
from pml_aug.expansion.points import ExpandedBatch, Expansion
from pml_aug.expansion.pooling_from_products import DistancesFromProducts, distances_from_products
from pml_aug.synthesis.pairs import Pairs
from pml_aug.to_device import to_device

SELECTIONS = ("hardest", "random")


class Pooled(NamedTuple):
    """A matrix of pooled distances, and the entries, rows or points, between which they are."""

    matrix: Tensor  # (N, R)
    row: Tensor  # (G, H), long: entry of the query that was chosen for each two groups
    column: Tensor  # (G, H), long: entry of the reference


def pooled_distances(distance: BaseDistance, query: ExpandedBatch, reference: ExpandedBatch) -> Tensor:
    """The matrix of :func:`pool` by hardness: (N, R)."""
    return pool(distance, query, reference).matrix


def pool(
    distance: BaseDistance, query: ExpandedBatch, reference: ExpandedBatch, hardness: Tensor | None = None
) -> Pooled:
    r"""Plain distances where labels agree, elsewhere the hardest distance between the point sets of both rows.

    .. math::
        M_{ij} = \begin{cases} d(x_i, x_j) & y_i = y_j \\ \min_{p \in S(i),\, q \in S(j)} d(p, q) & \text{else}
        \end{cases}

    :math:`S(i)` holds the rows of the group of row i and the points of their pairs. For a similarity (an inverted
    distance) it is the maximum. The points of the pair (i, j) are those of (j, i), so each is compared once. The
    gradient is that of the chosen distances; among equally hard ones a single one is chosen.

    Args:
        distance: any PML distance. It is left as it is; where rows and points are normalised already, a copy of it
            that does not normalise is used.
        query: the rows of the matrix.
        reference: its columns; pass the same object as `query` to compare a batch with itself.
        hardness: (R + m Q, N + n P), chooses instead of the distances, see :func:`random_hardness`.

    Shapes:
        N rows, R columns -> matrix (N, R)

    Source: Ko and Gu, "Embedding Expansion", CVPR 2020, section 3.2 (groups are classes);
    github.com/clovaai/embedding-expansion, hphn_triplet.py (each row is its own group). There, tied entries each get
    the full gradient.

    Example:
        >>> from pytorch_metric_learning.distances import LpDistance
        >>> rows, labels = torch.tensor([[0.0, 1.0], [2.0, 1.0], [1.0, 0.0]]), torch.tensor([0, 0, 1])
        >>> batch = Expansion(num_points=1, normalize=False).expand(rows, labels)
        >>> pool(LpDistance(normalize_embeddings=False), batch, batch).matrix[:, 2]  # the point (1, 1) is nearest
        tensor([1., 1., 0.])
    """
    measure = distance
    if distance.normalize_embeddings and distance.p == 2 and query.to_unit and reference.to_unit:
        measure = without_normalization(distance)
    distances = _distances(measure, query, reference)
    row, column = hardest_between(distances.hardness() if hardness is None else hardness, query, reference)
    hardest = distances.at(row, column)
    for dim, groups in enumerate((query.groups, reference.groups)):
        if groups is not None:
            hardest = hardest.index_select(dim, groups.of_row)
    if measure is not distance:
        for statistic in getattr(measure, "_record_these_stats", ()):
            setattr(distance, statistic, getattr(measure, statistic))
    plain = distances.plain
    # NaN compares as not harder than anything, so rows of NaN are kept
    same_class = query.labels[:, None] == reference.labels
    return Pooled(torch.where(same_class | plain.isnan(), plain, hardest), row, column)


def _distances(
    measure: BaseDistance, query: ExpandedBatch, reference: ExpandedBatch
) -> "DistancesOfArcs | DistancesFromProducts | _AllDistances":
    if isinstance(query, ArcBatch) or isinstance(reference, ArcBatch):
        return DistancesOfArcs(measure, query, reference)
    fast = distances_from_products(measure, query, reference)
    return _AllDistances(measure, query, reference) if fast is None else fast


def random_hardness(query: ExpandedBatch, reference: ExpandedBatch, generator: torch.Generator | None = None) -> Tensor:
    """Random numbers instead of the hardness of all pairs of entries: each pair of two groups is chosen equally often.

    They are drawn on the device of `generator`. Those of a batch with itself are symmetric, as its distances are.

    Shapes:
        N rows with n * P points, R rows with m * Q points -> (R + m Q, N + n P)

    Example:
        >>> batch = Expansion(num_points=1).expand(torch.eye(4), torch.tensor([0, 0, 1, 1]))
        >>> random_hardness(batch, batch).shape
        torch.Size([6, 6])
    """
    device = query.embeddings.device
    num_entries = [len(side.labels) + side.num_synthetic for side in (reference, query)]
    draws = torch.rand(num_entries, generator=generator, device=device if generator is None else generator.device)
    return to_device(draws.triu() + draws.triu(1).T if reference is query else draws, device)


@torch.no_grad()
def share_at_points(pooled: Pooled, query: ExpandedBatch, reference: ExpandedBatch) -> Tensor:
    """The share of the distances between classes that are distances of a point, on one side or both: scalar, 0 to 1.

    Nothing waits for a device.

    Example:
        >>> rows, labels = torch.tensor([[0.0, 1.0], [2.0, 1.0], [1.0, 0.0]]), torch.tensor([0, 0, 1])
        >>> batch = Expansion(num_points=1, normalize=False).expand(rows, labels)
        >>> from pytorch_metric_learning.distances import LpDistance
        >>> share_at_points(pool(LpDistance(normalize_embeddings=False), batch, batch), batch, batch).item()
        1.0
    """
    at_point = (pooled.row >= len(query.labels)) | (pooled.column >= len(reference.labels))
    classes, sizes = _classes_and_sizes(query)
    ref_classes, ref_sizes = (classes, sizes) if reference is query else _classes_and_sizes(reference)
    counts = sizes[:, None] * ref_sizes * (classes[:, None] != ref_classes)  # of distances between classes
    return (counts * at_point).sum() / counts.sum().clamp_min(1)


def _classes_and_sizes(side: ExpandedBatch) -> tuple[Tensor, Tensor]:
    """Class and number of rows of each group: (G,), (G,)."""
    ones = torch.ones(len(side.labels), device=side.labels.device)
    if side.groups is None:
        return side.labels, ones
    per_group = side.groups.of_row.new_zeros(side.groups.total)
    classes = per_group.index_copy_(0, side.groups.of_row, side.labels.to(per_group))
    return classes, ones.new_zeros(side.groups.total).index_add_(0, side.groups.of_row, ones)


class _AllDistances:
    """The distances between all entries, rows and points, of both sides, by any distance."""

    def __init__(self, distance: BaseDistance, query: ExpandedBatch, reference: ExpandedBatch) -> None:
        rows = torch.cat([query.embeddings, query.points])
        columns = rows if reference is query else torch.cat([reference.embeddings, reference.points])
        self.distances = distance(rows, columns)
        self.plain = self.distances[: len(query.labels), : len(reference.labels)]
        self.is_inverted = distance.is_inverted

    def hardness(self) -> Tensor:
        """(R + m Q, N + n P), larger is harder, without gradient."""
        hardness = self.distances.detach().to(torch.promote_types(self.distances.dtype, torch.float32))
        return (hardness if self.is_inverted else -hardness).T

    def at(self, row: Tensor, column: Tensor) -> Tensor:
        """The distances at given entries: (G, H), (G, H) -> (G, H)."""
        chosen = row * self.distances.shape[1] + column
        return self.distances.flatten().index_select(0, chosen.flatten()).view_as(chosen)


class Hardest(NamedTuple):
    """The hardest entry of each group, in each column."""

    hardness: Tensor  # (G, X)
    entry: Tensor  # (G, X), long, in 0 .. N + n P - 1


@torch.no_grad()
def hardest_of_groups(hardness: Tensor, side: ExpandedBatch) -> Hardest:
    """The hardest among the rows of each group and the points on their segments; ties are broken deterministically.

    Args:
        hardness: of each entry of `side` in each column, larger is harder; float32 or wider.
        side: the entries, N rows and n points on each of P segments.

    Shapes:
        (N + n * P, X) -> (G, X), (G, X)
    """
    # indices are kept as floats, which torch compares and reduces many times faster; exact up to 2^24 entries
    index = torch.arange(len(hardness), dtype=hardness.dtype, device=hardness.device)[:, None]
    if side.groups is None and not side.num_synthetic:
        return Hardest(hardness, index.long().expand_as(hardness))
    hardness = hardness.contiguous()
    total = len(side.labels) if side.groups is None else side.groups.total
    hardest = hardness.new_full((total, hardness.shape[1]), -torch.inf)
    for group in side.memberships:
        hardest.scatter_reduce_(0, group[:, None].expand_as(hardness), hardness, "amax")
    entry = torch.zeros_like(hardest)
    for group in side.memberships:
        of_hardest = hardest.index_select(0, group).eq_(hardness).mul_(index)
        entry.scatter_reduce_(0, group[:, None].expand_as(hardness), of_hardest, "amax")
    return Hardest(hardest, entry.long())


def hardest_between(hardness: Tensor, query: ExpandedBatch, reference: ExpandedBatch) -> tuple[Tensor, Tensor]:
    """The entries of both sides that are the hardest between each group of one and each group of the other.

    Args:
        hardness: (R + m Q, N + n P), of each entry of `reference` with each entry of `query`.
        query: N rows in G groups.
        reference: R rows in H groups.

    Shapes:
        (R + m Q, N + n P) -> (G, H), (G, H)
    """
    column = hardest_of_groups(hardness, reference)
    row = hardest_of_groups(column.hardness.T, query).entry
    return row, column.entry.T.gather(0, row)


class PooledProxyDistance(DelegatingDistance):
    r"""The distances of rows to proxies; to proxies of other classes, those of the nearest point around the row.

    .. math::
        M_{ij} = d(x_i, p_j) \text{ if } p_j \text{ is of class } y_i, \text{ else } \min_{q \in S(i)} d(q, p_j)

    Proxies are parameters and are not expanded.

    Args:
        distance: the loss's own.
        expansion: how the rows are expanded.
        labels: of the first rows of each call. The rows after them are mixtures of ProxySynthesis, each the only row
            of its class; these classes are the last ones.
        per_class: K, proxies per class; the K proxies of a class are adjacent.
        select: "hardest", or "random" for a random point around the row, see :func:`random_hardness`.
        generator: source of the random numbers.

    Attributes:
        num_synthetic: number of points, once called.
        synthetic_share: scalar, the share of the distances to proxies of other classes that are distances of a point.

    Example:
        >>> from pytorch_metric_learning.distances import CosineSimilarity
        >>> distance = PooledProxyDistance(CosineSimilarity(), Expansion(num_points=1), torch.tensor([0, 0]), 1)
        >>> rows, proxies = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
        >>> distance(rows, proxies).round(decimals=3).tolist()  # the point half-way lies on the second proxy
        [[1.0, 1.0], [0.0, 1.0]]
    """

    def __init__(
        self,
        distance: BaseDistance,
        expansion: Expansion,
        labels: Tensor,
        per_class: int,
        select: str = "hardest",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(distance)
        self.expansion = expansion
        self.labels = labels
        self.per_class = per_class
        self.select = select
        self.generator = generator
        self.num_synthetic = 0
        self.synthetic_share: Tensor | float = 0.0

    def forward(self, query_emb: Tensor, ref_emb: Tensor | None = None) -> Tensor:
        if ref_emb is None or ref_emb is query_emb:
            raise ValueError("the loss compares rows with each other, but this distance compares rows with proxies")
        num_classes, num_paired = len(ref_emb) // self.per_class, len(self.labels)
        mixtures = torch.arange(num_classes + num_paired - len(query_emb), num_classes, device=self.labels.device)
        labels = torch.cat([self.labels, mixtures])
        query = self.expansion.expand(query_emb, labels, self.distance, num_paired)
        of_proxies = torch.arange(len(ref_emb), device=ref_emb.device) // self.per_class
        no_pairs = Pairs(of_proxies[:0], of_proxies[:0])
        # pooled_distances skips normalisation where all is normalised already; the proxies are not yet
        to_unit = query.to_unit if self.distance.normalize_embeddings else None
        proxies = ExpandedBatch(self.distance.maybe_normalize(ref_emb), of_proxies, no_pairs, 0, to_unit)
        self.was_called = True
        self.num_synthetic = query.num_acting if num_classes > 1 else 0
        hardness = random_hardness(query, proxies, self.generator) if self.select == "random" else None
        pooled = pool(self.distance, query, proxies, hardness)
        self.synthetic_share = share_at_points(pooled, query, proxies)
        return pooled.matrix
