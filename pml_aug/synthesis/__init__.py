from pml_aug.synthesis.class_gaussian_copies import class_gaussian_copies
from pml_aug.synthesis.earlier_steps import EarlierSteps, Step
from pml_aug.synthesis.interpolate import interpolate, to_unit_length
from pml_aug.synthesis.mirror import mirror
from pml_aug.synthesis.mix_classes import draw_mixing, mix
from pml_aug.synthesis.mixed_pairs import (
    MixedPairs,
    anchor_negative_pairs,
    positive_negative_pairs,
)
from pml_aug.synthesis.pairs import (
    Pairs,
    adjacent_pairs,
    all_positive_pairs,
    different_class_pairs,
    order_without_equal_neighbors,
    random_circle,
    rolled_pairs,
    within_class_pairs,
)
from pml_aug.synthesis.points_of_equal_cosine import points_of_equal_cosine, simplex_corners
from pml_aug.synthesis.scaled_and_shifted import scaled_and_shifted
from pml_aug.synthesis.synthetic import Synthetic

__all__ = [
    "EarlierSteps",
    "MixedPairs",
    "Pairs",
    "Step",
    "Synthetic",
    "adjacent_pairs",
    "all_positive_pairs",
    "anchor_negative_pairs",
    "class_gaussian_copies",
    "different_class_pairs",
    "draw_mixing",
    "interpolate",
    "mirror",
    "mix",
    "order_without_equal_neighbors",
    "points_of_equal_cosine",
    "random_circle",
    "positive_negative_pairs",
    "rolled_pairs",
    "simplex_corners",
    "scaled_and_shifted",
    "to_unit_length",
    "within_class_pairs",
]
