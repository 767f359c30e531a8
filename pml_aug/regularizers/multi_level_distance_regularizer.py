"""Regularizer that pulls the distances of a batch towards a few learned levels."""

from collections.abc import Sequence
from typing import Any

import torch
from pytorch_metric_learning.distances import BaseDistance, LpDistance
from pytorch_metric_learning.reducers import DoNothingReducer, MultipleReducers
from pytorch_metric_learning.regularizers import BaseRegularizer
from torch import Tensor, nn

from pml_aug.validation import check_number, exclusive


class MultiLevelDistanceRegularizer(BaseRegularizer):
    r"""The mean deviation of the standardised distances of a batch from the nearest of a few learned levels.

    .. math::
        z_{ij} = \frac{d_{ij} - \mu}{\sigma}, \quad
        \frac{1}{N (N - 1)} \sum_{i \ne j} \min_l |z_{ij} - s_l| + \nu \sum_l s_l^2

    :math:`\mu` and :math:`\sigma` are the running mean and standard deviation of the distances. They are constants for
    the gradient and do not depend on labels. They stay constant in eval mode, and after a batch of a single row (whose
    loss is 0) or one whose distances overflow.

    Args:
        levels: initial values of the learned levels s, in standard deviations of the distance. They are a parameter:
            pass the parameters of the loss that contains this regularizer to an optimizer, or they stay constant.
        momentum: share of the old running values in the new ones, in [0, 1); the first batch sets them.
        level_weight: :math:`\nu`, at least 0. The loss's `embedding_reg_weight` multiplies this term too.
        kwargs: for PML's BaseRegularizer: distance (by default LpDistance without normalisation) and reducer, which
            gets one value per row.

    Shapes:
        (N, D) -> scalar

    Raises:
        TypeError: an argument of another type.
        ValueError: an argument out of range.
        RuntimeError: in a call, another thread is using the same regularizer.

    Source: Kim and Park, "Multi-level Distance Regularization for Deep Metric Learning", AAAI 2021;
    github.com/kakaoenterprise/AAAI2021_MDR. As there, the zero distances of rows to themselves count in mean and
    standard deviation. The official settings are levels (-3, 0, 3) and weight 0.6 (CUB), 0.2 (Cars) or 0.1 (SOP,
    In-Shop) beside a triplet loss on embeddings that are not normalised, with :math:`\nu` = 0.01 outside that weight.
    Deviations: the state dict also says whether a batch has been seen; distances that overflow change no state.

    Example:
        >>> regularizer = MultiLevelDistanceRegularizer(levels=[0.5])
        >>> round(regularizer(torch.tensor([[0.0], [3.0]])).item(), 4)  # distances 0, 3, 3, 0: mean 1.5, std sqrt(3)
        0.366
    """

    running_mean: Tensor  # ()
    running_std: Tensor  # ()
    has_seen_a_batch: Tensor  # (), bool

    def __init__(
        self,
        levels: Sequence[float] = (-3.0, 0.0, 3.0),
        momentum: float = 0.9,
        level_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        levels = list(levels)
        if len(levels) == 0:
            raise ValueError("levels must contain at least one number, but is empty")
        for place, level in enumerate(levels):
            check_number(f"levels[{place}]", level)
        check_number("momentum", momentum, minimum=0, below=1)
        check_number("level_weight", level_weight, minimum=0)
        super().__init__(**kwargs)
        self.levels = nn.Parameter(torch.tensor(levels, dtype=torch.get_default_dtype()))
        self.momentum = momentum
        self.level_weight = level_weight
        self.register_buffer("running_mean", torch.zeros(()))
        self.register_buffer("running_std", torch.ones(()))
        self.register_buffer("has_seen_a_batch", torch.tensor(False))
        self.add_to_recordable_attributes(list_of_names=["momentum", "level_weight"], is_stat=False)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "reducer" and not isinstance(value, (MultipleReducers, DoNothingReducer)):
            self.set_reducer(value)  # one reducer per term, as in the constructor
        else:
            super().__setattr__(name, value)

    def forward(self, embeddings: Tensor) -> Tensor:
        if embeddings.dtype in (torch.float16, torch.bfloat16):
            embeddings = embeddings.float()
        with exclusive(self), torch.autocast(embeddings.device.type, enabled=False):
            return super().forward(embeddings)

    def compute_loss(self, embeddings: Tensor) -> dict[str, Any]:
        self.to(embeddings.device)
        levels = self.levels.to(embeddings.dtype)
        level_loss = self.level_weight * levels.square().sum()
        return {
            "distance_loss": self._distance_loss(embeddings, levels),
            "level_loss": {"losses": level_loss, "indices": None, "reduction_type": "already_reduced"},
        }

    def _distance_loss(self, embeddings: Tensor, levels: Tensor) -> dict[str, Any]:
        size = len(embeddings)
        if size < 2:
            return {"losses": 0, "indices": None, "reduction_type": "already_reduced"}
        between_rows = ~torch.eye(size, dtype=torch.bool, device=embeddings.device)
        distances = self.distance(embeddings) * between_rows
        mean, std = self._running_statistics(distances.detach())
        standardised = (distances - mean) / std.clamp(min=torch.finfo(std.dtype).eps)
        deviations = (standardised.unsqueeze(-1) - levels).abs().amin(dim=-1)
        losses = (deviations * between_rows).sum(dim=1) / (size - 1)
        return {"losses": losses, "indices": torch.arange(size, device=losses.device), "reduction_type": "element"}

    def _running_statistics(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        std, mean = torch.std_mean(distances)
        share = self.has_seen_a_batch.to(mean.dtype) * (self.momentum if self.training else 1)  # of the old values
        mean = torch.lerp(mean, self.running_mean.to(mean.dtype), share)
        std = torch.lerp(std, self.running_std.to(std.dtype), share)
        if self.training:
            new_mean, new_std = mean.to(self.running_mean), std.to(self.running_std)
            finite = new_mean.isfinite() & new_std.isfinite()  # chosen on the device, which the host need not wait for
            self.running_mean.copy_(torch.where(finite, new_mean, self.running_mean))
            self.running_std.copy_(torch.where(finite, new_std, self.running_std))
            self.has_seen_a_batch.logical_or_(finite)
        return mean, std

    def get_default_distance(self) -> BaseDistance:
        return LpDistance(normalize_embeddings=False)

    def sub_loss_names(self) -> list[str]:
        return ["distance_loss", "level_loss"]
