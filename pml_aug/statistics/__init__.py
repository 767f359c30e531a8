from pml_aug.statistics.channel_counts import ChannelCounts
from pml_aug.statistics.class_statistics import ClassStatistics
from pml_aug.statistics.difference_bank import DifferenceBank
from pml_aug.statistics.less_specific import isotropic_variance, shared_variance
from pml_aug.statistics.neighbor_correction import (
    NeighborCorrection,
    few_sample_weight,
    global_variance,
    neighbor_variance,
)

__all__ = [
    "ChannelCounts",
    "ClassStatistics",
    "DifferenceBank",
    "NeighborCorrection",
    "few_sample_weight",
    "global_variance",
    "isotropic_variance",
    "neighbor_variance",
    "shared_variance",
]
