from pml_aug.regularizers.multi_level_distance_regularizer import MultiLevelDistanceRegularizer

__all__ = ["MultiLevelDistanceRegularizer"]
