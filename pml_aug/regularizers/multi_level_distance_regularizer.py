"""A regularizer that draws the distances of a batch to a few learned levels."""

from collections.abc import Sequence
from typing import Any

import torch
from pytorch_metric_learning.distances import BaseDistance, LpDistance
from pytorch_metric_learning.regularizers import BaseRegularizer
from torch import Tensor, nn


class MultiLevelDistanceRegularizer(BaseRegularizer):
    r"""How far each distance of the batch, standardised, is from the nearest of a few learned levels.

    .. math::
        z_{ij} = \frac{d_{ij} - \mu}{\sigma}, \quad
        \frac{1}{N (N - 1)} \sum_{i \ne j} \min_l |z_{ij} - s_l| + \nu \sum_l s_l^2

    :math:`\mu` and :math:`\sigma` are running figures of the distances, constants to the gradient; it looks at no
    labels. In eval mode they stay as they are. A batch of one row has no distance, costs nothing, and is not counted.

    Args:
        levels: where the learned levels s begin, in standard deviations of the distance. They are a parameter: an
            optimizer must be given the parameters of the loss that holds this regularizer, or they stay.
        momentum: share of the old running figures in the new ones, in [0, 1); the first batch sets them.
        level_weight: :math:`\nu`, at least 0. The loss's `embedding_reg_weight` multiplies this term too.
        kwargs: of every PML regularizer: distance (LpDistance on embeddings of any length by default) and reducer,
            which gets one value a row.

    Shapes:
        (N, D) -> scalar

    Raises:
        ValueError: an argument out of range.

    Source: Kim and Park, "Multi-level Distance Regularization for Deep Metric Learning", AAAI 2021;
    github.com/kakaoenterprise/AAAI2021_MDR. As there, the zero distances of rows to themselves count in mean and
    standard deviation. There: levels (-3, 0, 3), weight 0.6 (CUB), 0.2 (Cars), 0.1 (SOP, In-Shop) beside a triplet
    loss on embeddings that are not normalised, and :math:`\nu` 0.01 outside that weight. Deviation: whether a first
    batch was seen is saved with the running figures.

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
        if len(levels) == 0:
            raise ValueError("levels must hold at least one number, but is empty")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1, but got {momentum}")
        if not level_weight >= 0:
            raise ValueError(f"level_weight must be at least 0, but got {level_weight}")
        super().__init__(**kwargs)
        self.levels = nn.Parameter(torch.tensor(levels, dtype=torch.get_default_dtype()))
        self.momentum = momentum
        self.level_weight = level_weight
        self.register_buffer("running_mean", torch.zeros(()))
        self.register_buffer("running_std", torch.ones(()))
        self.register_buffer("has_seen_a_batch", torch.tensor(False))
        self.add_to_recordable_attributes(list_of_names=["momentum", "level_weight"], is_stat=False)

    def forward(self, embeddings: Tensor) -> Tensor:
        if embeddings.dtype in (torch.float16, torch.bfloat16):
            embeddings = embeddings.float()
        with torch.autocast(embeddings.device.type, enabled=False):
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
        mean, std = self._running_figures(distances.detach())
        standardised = (distances - mean) / std.clamp(min=torch.finfo(std.dtype).eps)
        deviations = (standardised.unsqueeze(-1) - levels).abs().amin(dim=-1)
        losses = (deviations * between_rows).sum(dim=1) / (size - 1)
        return {"losses": losses, "indices": torch.arange(size, device=losses.device), "reduction_type": "element"}

    def _running_figures(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        std, mean = torch.std_mean(distances)
        share = self.has_seen_a_batch.to(mean.dtype) * (self.momentum if self.training else 1)  # of the old figures
        mean = torch.lerp(mean, self.running_mean.to(mean.dtype), share)
        std = torch.lerp(std, self.running_std.to(std.dtype), share)
        if self.training:
            self.running_mean.copy_(mean)
            self.running_std.copy_(std)
            self.has_seen_a_batch.fill_(True)
        return mean, std

    def get_default_distance(self) -> BaseDistance:
        return LpDistance(normalize_embeddings=False)

    def sub_loss_names(self) -> list[str]:
        return ["distance_loss", "level_loss"]
