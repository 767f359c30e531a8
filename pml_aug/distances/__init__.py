from pml_aug.distances.delegating import PrecomputedDistance
from pml_aug.distances.introspective import IntrospectiveDistance, IntrospectiveSimilarity

__all__ = ["IntrospectiveDistance", "IntrospectiveSimilarity", "PrecomputedDistance"]
