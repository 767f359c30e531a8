"""What the steps of a training did: synthetic points that were made, losses and tuples to learn from."""

from collections.abc import Mapping
from typing import Any

from pytorch_metric_learning.miners import BaseMiner
from torch import Tensor, nn

from pml_aug.wrappers.base import LossWrapper

DIVERGED = "the training diverged: try a lower protocol.optimizer.lr"
STATE = ("reports", "steps", "active_steps", "synthetic", "shares")


class MethodActivity:
    """Counts of the steps in which the wrappers of a loss made synthetic points.

    A wrapper reports the points of its last call in ``num_synthetic``, and the share of the distances between classes
    that were those of points in ``synthetic_share``, if it chooses among points. Points of nested wrappers are added.

    Args:
        loss: metric loss of the training, a wrapper or not.

    Attributes:
        steps: that were counted.
        active_steps: of them, with at least one synthetic point.
        synthetic: points in all steps.
        shares: sum over all steps of ``synthetic_share``; None if no wrapper reports it.

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
        self.shares: Tensor | float | None = None

    def count(self) -> None:
        """Add the step that has just been made."""
        reported = [vars(wrapper)["num_synthetic"] for wrapper in self.wrappers if "num_synthetic" in vars(wrapper)]
        self.reports |= bool(reported)
        self.steps += 1
        self.active_steps += any(reported)
        self.synthetic += sum(reported)
        for wrapper in self.wrappers:
            if "synthetic_share" in vars(wrapper):  # a tensor is added without waiting for the device
                self.shares = wrapper.synthetic_share + (0.0 if self.shares is None else self.shares)

    def summary(self) -> dict[str, float | None] | None:
        """``method_activity`` of result.json; None if no wrapper reports, as for the baseline or another distance.

        ``synthetic_share`` is the mean over the active steps.
        """
        if not self.reports:
            return None
        return {
            "steps": self.steps,
            "active_steps": self.active_steps,
            "synthetic_per_step": self.synthetic / self.steps,
            "synthetic_share": None if self.shares is None else float(self.shares) / max(1, self.active_steps),
        }

    def state_dict(self) -> dict[str, Any]:
        shares = None if self.shares is None else float(self.shares)
        return {key: getattr(self, key) for key in STATE} | {"shares": shares}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for key in STATE:
            setattr(self, key, state[key])


class LearningSignal:
    """What the steps of an epoch had to learn from: finite embeddings, a loss above zero, tuples where a miner looks.

    Args:
        losses: of the training; miners inside them are watched too.
        miners: of the training.
    """

    def __init__(self, losses: Mapping[str, nn.Module], miners: Mapping[str, nn.Module]) -> None:
        self.start_epoch()
        found = (module for part in (*losses.values(), *miners.values()) for module in part.modules())
        for miner in {id(module): module for module in found if isinstance(module, BaseMiner)}.values():
            miner.register_forward_hook(self._add_mined)

    def start_epoch(self) -> None:
        # tensors after the first step, so that no step waits for the device
        self.all_finite: Tensor | bool = True
        self.any_loss: Tensor | bool = False
        self.mined = self.found = 0

    def add_embeddings(self, embeddings: Tensor) -> None:
        """Add the embeddings of a batch, (N, D)."""
        self.all_finite = embeddings.detach().isfinite().all() & self.all_finite

    def add_loss(self, loss: Tensor) -> None:
        """Add the loss of a step, a scalar."""
        self.any_loss = (loss.detach() != 0) | self.any_loss

    def diverged(self) -> bool:
        """Whether an embedding was NaN or infinite."""
        return not bool(self.all_finite)

    def missing(self) -> str | None:
        """What all steps of the epoch lacked to learn from; None if nothing."""
        if not bool(self.any_loss):
            return "the loss was exactly zero in every step"
        if self.mined and not self.found:
            return "the miner found no pairs or triplets in any step"
        return None

    def _add_mined(self, miner: nn.Module, inputs: object, tuples: tuple[Tensor, ...]) -> None:
        self.mined += 1
        self.found += any(part.numel() > 0 for part in tuples)
