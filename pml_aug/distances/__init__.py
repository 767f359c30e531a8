from pml_aug.distances.introspective import IntrospectiveDistance, IntrospectiveSimilarity
from pml_aug.distances.pooled import Expanded, pooled_matrix
from pml_aug.distances.precomputed import PrecomputedDistance

__all__ = ["Expanded", "IntrospectiveDistance", "IntrospectiveSimilarity", "PrecomputedDistance", "pooled_matrix"]
