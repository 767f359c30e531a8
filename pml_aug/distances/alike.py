"""Whether one distance matrix serves two askers."""

from typing import Any

from pytorch_metric_learning.distances import (
    BaseDistance,
    CosineSimilarity,
    DotProductSimilarity,
    LpDistance,
    SNRDistance,
)

from pml_aug.distances.introspective import IntrospectiveDistance, IntrospectiveSimilarity

# all that they do follows from their plain attributes; of any other class that is not known
TOLD_BY_SETTINGS = (
    CosineSimilarity,
    DotProductSimilarity,
    IntrospectiveDistance,
    IntrospectiveSimilarity,
    LpDistance,
    SNRDistance,
)


def measure_alike(first: BaseDistance, second: BaseDistance) -> bool:
    """Whether two distances are known to be the same: one object, or PML's or ours with equal settings.

    Example:
        >>> measure_alike(LpDistance(), LpDistance()), measure_alike(LpDistance(), LpDistance(power=2))
        (True, False)
    """

    def settings(distance: BaseDistance) -> dict[str, Any]:
        statistics = ["training", *getattr(distance, "_record_these_stats", [])]
        return {k: v for k, v in vars(distance).items() if not k.startswith("_") and k not in statistics}

    if first is second:
        return True
    return type(first) is type(second) and type(first) in TOLD_BY_SETTINGS and settings(first) == settings(second)
