from pml_aug.distances.expanded import Expanded, Groups
from pml_aug.distances.expansion import Expansion
from pml_aug.distances.introspective import IntrospectiveDistance, IntrospectiveSimilarity
from pml_aug.distances.pooled import pooled_matrix
from pml_aug.distances.precomputed import PrecomputedDistance
from pml_aug.distances.to_proxies import DistanceToProxies

__all__ = [
    "DistanceToProxies",
    "Expanded",
    "Expansion",
    "Groups",
    "IntrospectiveDistance",
    "IntrospectiveSimilarity",
    "PrecomputedDistance",
    "pooled_matrix",
]
