from pml_aug.distances.expansion import Expansion
from pml_aug.distances.introspective import IntrospectiveDistance, IntrospectiveSimilarity
from pml_aug.distances.pooled import Expanded, pooled_matrix
from pml_aug.distances.precomputed import PrecomputedDistance

__all__ = [
    "Expanded",
    "Expansion",
    "IntrospectiveDistance",
    "IntrospectiveSimilarity",
    "PrecomputedDistance",
    "pooled_matrix",
]
