"""Statistics of paired runs: pure functions of numbers, one number a seed where nothing else is said."""

from .best_so_far import expected_best
from .classes import class_bootstrap_interval
from .equivalence import MARGIN, equivalence_p
from .folds import FoldLevel, corrected_resampled_t
from .holm import holm
from .intervals import Interval, bootstrap_interval, t_interval
from .paired import over_seeds, paired_by_seed
from .power import minimum_detectable_effect, seeds_to_detect
from .ranking import ENOUGH_DATA_SETS, Ranking, ranking
from .sign_flip import seeds_to_reach, sign_flip_p, smallest_p

__all__ = [
    "ENOUGH_DATA_SETS",
    "MARGIN",
    "FoldLevel",
    "Interval",
    "Ranking",
    "bootstrap_interval",
    "class_bootstrap_interval",
    "corrected_resampled_t",
    "equivalence_p",
    "expected_best",
    "holm",
    "minimum_detectable_effect",
    "over_seeds",
    "paired_by_seed",
    "ranking",
    "seeds_to_detect",
    "seeds_to_reach",
    "sign_flip_p",
    "smallest_p",
    "t_interval",
]
