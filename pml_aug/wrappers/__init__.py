from pml_aug.wrappers.base import Batch, LossWrapper
from pml_aug.wrappers.batch_and_memory import BatchAndMemory
from pml_aug.wrappers.cross_batch_memory import CrossBatchMemory
from pml_aug.wrappers.densely_anchored_sampling import DenselyAnchoredSampling
from pml_aug.wrappers.distributed import DistributedLossWrapper
from pml_aug.wrappers.embedding_expansion import EmbeddingExpansion
from pml_aug.wrappers.intra_class_adaptive_augmentation import IntraClassAdaptiveAugmentation
from pml_aug.wrappers.memory_based_virtual_classes import MemoryBasedVirtualClasses
from pml_aug.wrappers.metric_mixup import MetricMixup
from pml_aug.wrappers.proxy_synthesis import ProxySynthesis
from pml_aug.wrappers.spherical_embedding_expansion import SphericalEmbeddingExpansion
from pml_aug.wrappers.symmetrical_synthesis import SymmetricalSynthesis

__all__ = [
    "Batch",
    "BatchAndMemory",
    "CrossBatchMemory",
    "DenselyAnchoredSampling",
    "DistributedLossWrapper",
    "EmbeddingExpansion",
    "IntraClassAdaptiveAugmentation",
    "LossWrapper",
    "MemoryBasedVirtualClasses",
    "MetricMixup",
    "ProxySynthesis",
    "SphericalEmbeddingExpansion",
    "SymmetricalSynthesis",
]
