"""Whether one distance matrix serves two askers."""

from typing import Any

from pytorch_metric_learning.distances import BaseDistance


def measure_alike(first: BaseDistance, second: BaseDistance) -> bool:
    """Whether two distances are of one class with equal settings, so that one matrix serves both.

    Example:
        >>> from pytorch_metric_learning.distances import LpDistance
        >>> measure_alike(LpDistance(), LpDistance()), measure_alike(LpDistance(), LpDistance(power=2))
        (True, False)
    """

    def settings(distance: BaseDistance) -> dict[str, Any]:
        statistics = ["training", *getattr(distance, "_record_these_stats", [])]
        return {k: v for k, v in vars(distance).items() if not k.startswith("_") and k not in statistics}

    if first is second:
        return True
    return type(first) is type(second) and not first.state_dict() and settings(first) == settings(second)
