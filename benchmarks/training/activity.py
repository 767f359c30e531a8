"""How often a method acted during a training, from the number of synthetic points that its wrappers report."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from pml_aug.wrappers.base import LossWrapper

STATE = ("reports", "steps", "active_steps", "synthetic")


class MethodActivity:
    """Counts of the steps in which the wrappers of a loss made synthetic points.

    A wrapper reports the points of its last call in ``num_synthetic``. Points of nested wrappers are added.

    Args:
        loss: metric loss of the training, a wrapper or not.

    Attributes:
        steps: that were counted.
        active_steps: of them, with at least one synthetic point.
        synthetic: points in all steps.

    Example:
        >>> activity = MethodActivity(nn.Identity())
        >>> activity.count()
        >>> activity.summary() is None
        True
    """

    def __init__(self, loss: nn.Module) -> None:
        self.wrappers = [module for module in loss.modules() if isinstance(module, LossWrapper)]
        self.reports = False  # whether any wrapper has reported
        self.steps = self.active_steps = self.synthetic = 0

    def count(self) -> None:
        """Add the step that has just been made."""
        reported = [vars(wrapper)["num_synthetic"] for wrapper in self.wrappers if "num_synthetic" in vars(wrapper)]
        self.reports |= bool(reported)
        self.steps += 1
        self.active_steps += any(reported)
        self.synthetic += sum(reported)

    def summary(self) -> dict[str, float] | None:
        """``method_activity`` of result.json; None if no wrapper reports, as for the baseline or another distance."""
        if not self.reports:
            return None
        return {
            "steps": self.steps,
            "active_steps": self.active_steps,
            "synthetic_per_step": self.synthetic / self.steps,
        }

    def state_dict(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in STATE}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for key in STATE:
            setattr(self, key, state[key])
