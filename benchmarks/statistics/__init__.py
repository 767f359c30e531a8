"""Statistics of paired runs: pure functions of numbers, by default one per seed."""

from benchmarks.statistics.class_bootstrap import class_bootstrap_interval
from benchmarks.statistics.corrected_t import FoldLevel, corrected_resampled_t
from benchmarks.statistics.equivalence import MARGIN, equivalence_p
from benchmarks.statistics.expected_best import expected_best
from benchmarks.statistics.holm import holm
from benchmarks.statistics.intervals import Interval, bootstrap_interval, t_interval
from benchmarks.statistics.paired import over_seeds, paired_by_seed
from benchmarks.statistics.power import minimum_detectable_effect, seeds_to_detect
from benchmarks.statistics.sign_flip import seeds_to_reach, sign_flip_p, smallest_p

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
