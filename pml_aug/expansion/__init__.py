from pml_aug.expansion.points import ExpandedBatch, Expansion, Groups
from pml_aug.expansion.pooling import PooledProxyDistance, pool, pooled_distances

__all__ = ["ExpandedBatch", "Expansion", "Groups", "PooledProxyDistance", "pool", "pooled_distances"]
