"""Distances of an expanded batch to the proxies of a loss."""

import torch
from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor

from pml_aug.distances.expanded import Expanded
from pml_aug.distances.expansion import Expansion
from pml_aug.distances.stand_in import StandIn
from pml_aug.synthesis.pairs import Pairs


class DistanceToProxies(StandIn):
    r"""The distances of rows to proxies; to those of other classes, as near as the points around a row bring it.

    .. math::
        M_{ij} = d(x_i, p_j) \text{ if } p_j \text{ is of class } y_i, \text{ else } \min_{q \in S(i)} d(q, p_j)

    Proxies are not expanded: a class's proxies need no points between them, they are parameters.

    Args:
        distance: the loss's own.
        expansion: how the rows are expanded.
        labels: of the first rows that will be asked about. Those beyond are mixtures of ProxySynthesis, each the one
            row of a class; these are the last classes.
        per_class: K, proxies of each class; they stand together.

    Attributes:
        num_synthetic: points that were made, once asked.

    Example:
        >>> from pytorch_metric_learning.distances import CosineSimilarity
        >>> distance = DistanceToProxies(CosineSimilarity(), Expansion(num_points=1), torch.tensor([0, 0]), per_class=1)
        >>> rows, proxies = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
        >>> distance(rows, proxies).round(decimals=3).tolist()  # the point half-way lies on the second proxy
        [[1.0, 1.0], [0.0, 1.0]]
    """

    def __init__(self, distance: BaseDistance, expansion: Expansion, labels: Tensor, per_class: int) -> None:
        super().__init__(distance)
        self.expansion = expansion
        self.labels = labels
        self.per_class = per_class
        self.num_synthetic = 0

    def forward(self, query_emb: Tensor, ref_emb: Tensor | None = None) -> Tensor:
        if ref_emb is None or ref_emb is query_emb:
            raise ValueError("the loss asked for the distances of rows to each other, but its distance is to proxies")
        num_classes, num_paired = len(ref_emb) // self.per_class, len(self.labels)
        mixtures = torch.arange(num_classes + num_paired - len(query_emb), num_classes, device=self.labels.device)
        labels = torch.cat([self.labels, mixtures])
        query = self.expansion.expand(query_emb, labels, self.distance, num_paired)
        of_proxies = torch.arange(len(ref_emb), device=ref_emb.device) // self.per_class
        no_pairs = Pairs(of_proxies[:0], of_proxies[:0])
        # the distance may leave out to bring rows to unit length, of which the expansion takes care, but not proxies
        proxies = Expanded(self.distance.maybe_normalize(ref_emb), of_proxies, no_pairs, num_points=0)
        self.was_asked = True
        self.num_synthetic = query.num_synthetic
        return self.expansion.pool(self.distance, query, proxies)
