"""Statistics of paired runs: pure functions of numbers, one number a seed."""

from .holm import holm
from .intervals import Interval, bootstrap_interval, t_interval
from .paired import over_seeds, paired_by_seed
from .power import minimum_detectable_effect
from .sign_flip import seeds_to_reach, sign_flip_p, smallest_p

__all__ = [
    "Interval",
    "bootstrap_interval",
    "holm",
    "minimum_detectable_effect",
    "over_seeds",
    "paired_by_seed",
    "seeds_to_reach",
    "sign_flip_p",
    "smallest_p",
    "t_interval",
]
