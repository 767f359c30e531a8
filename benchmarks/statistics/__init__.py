"""Statistics of paired runs: pure functions of numbers, by default one per seed."""

from .class_bootstrap import class_bootstrap_interval
from .corrected_t import FoldLevel, corrected_resampled_t
from .equivalence import MARGIN, equivalence_p
from .expected_best import expected_best
from .holm import holm
from .intervals import Interval, bootstrap_interval, t_interval
from .match_probability import Reliability, brier_skill, calibration_error, match_probability, reliability
from .paired import over_seeds, paired_by_seed
from .power import minimum_detectable_effect, seeds_to_detect
from .ranking import auroc, severity_correlation
from .selective import area_under_risk_coverage, risk_coverage
from .sign_flip import seeds_to_reach, sign_flip_p, smallest_p

__all__ = [
    "MARGIN",
    "FoldLevel",
    "Interval",
    "Reliability",
    "area_under_risk_coverage",
    "auroc",
    "bootstrap_interval",
    "brier_skill",
    "calibration_error",
    "class_bootstrap_interval",
    "corrected_resampled_t",
    "equivalence_p",
    "expected_best",
    "holm",
    "match_probability",
    "minimum_detectable_effect",
    "over_seeds",
    "paired_by_seed",
    "reliability",
    "risk_coverage",
    "seeds_to_detect",
    "seeds_to_reach",
    "severity_correlation",
    "sign_flip_p",
    "smallest_p",
    "t_interval",
]
