from pml_aug.distances.delegating import PrecomputedDistance
from pml_aug.distances.introspective import IntrospectiveDistance, IntrospectiveSimilarity
from pml_aug.distances.introspective_base import SemanticRegularizer, check_introspective

__all__ = [
    "IntrospectiveDistance",
    "IntrospectiveSimilarity",
    "PrecomputedDistance",
    "SemanticRegularizer",
    "check_introspective",
]
