from pml_aug.distances.pooled import Expanded, pooled_matrix
from pml_aug.distances.precomputed import PrecomputedDistance

__all__ = ["Expanded", "PrecomputedDistance", "pooled_matrix"]
