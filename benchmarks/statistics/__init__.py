"""Statistics of paired runs: pure functions of numbers, by default one per seed."""

from .class_bootstrap import class_bootstrap_interval
from .corrected_t import FoldLevel, corrected_resampled_t
from .equivalence import MARGIN, equivalence_p
from .expected_best import expected_best
from .holm import holm
from .intervals import Interval, bootstrap_interval, t_interval
from .paired import over_seeds, paired_by_seed
from .power import minimum_detectable_effect, seeds_to_detect
from .sign_flip import seeds_to_reach, sign_flip_p, smallest_p

__all__ = [
    "MARGIN",
    "FoldLevel",
    "Interval",
    "bootstrap_interval",
    "class_bootstrap_interval",
    "corrected_resampled_t",
    "equivalence_p",
    "expected_best",
    "holm",
    "minimum_detectable_effect",
    "over_seeds",
    "paired_by_seed",
    "seeds_to_detect",
    "seeds_to_reach",
    "sign_flip_p",
    "smallest_p",
    "t_interval",
]
