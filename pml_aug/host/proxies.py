"""Where a loss stores the proxies of its classes."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Proxies(NamedTuple):
    """The parameter with the proxies of a loss: K per class, those of a class adjacent, as rows or as columns.

    Example:
        >>> from pytorch_metric_learning.losses import SoftTripleLoss
        >>> loss = SoftTripleLoss(num_classes=2, embedding_size=8, centers_per_class=3)
        >>> proxies = Proxies("fc", dim=1, per_class="centers_per_class")
        >>> proxies.rows(loss).shape, proxies.places(loss, torch.tensor([1])).tolist()
        (torch.Size([6, 8]), [3, 4, 5])
    """

    parameter: str  # name of the parameter
    dim: int  # along which the proxies lie: 0 for (C * K, D), 1 for (D, C * K)
    per_class: str | None = None  # attribute that holds K; None for one proxy per class
    to_unit: bool = False  # whether the loss normalises its proxies, in place
    only_in_distance: bool = False  # whether this class, not a subclass, only passes them to its distance

    def count(self, loss: nn.Module) -> int:
        """C * K."""
        size: int = getattr(loss, self.parameter).shape[self.dim]
        return size

    def count_per_class(self, loss: nn.Module) -> int:
        """K."""
        return 1 if self.per_class is None else getattr(loss, self.per_class)

    def rows(self, loss: nn.Module) -> Tensor:
        """All proxies as rows: (C * K, D)."""
        stored: Tensor = getattr(loss, self.parameter)
        return stored.T if self.dim else stored

    def as_stored(self, rows: Tensor) -> Tensor:
        """Rows in the layout of the parameter."""
        return rows.T if self.dim else rows

    def places(self, loss: nn.Module, classes: Tensor) -> Tensor:
        """The rows of the proxies of given classes: (N,) -> (N * K,)."""
        per_class = self.count_per_class(loss)
        if per_class == 1:
            return classes
        return (classes[:, None] * per_class + torch.arange(per_class, device=classes.device)).flatten()

    def normalize_in_place(self, loss: nn.Module) -> None:
        """Normalise the proxies as the loss itself does before it uses them; most losses do not."""
        if self.to_unit:
            parameter = getattr(loss, self.parameter)
            parameter.data = parameter.data.renorm(2, self.dim, 1e-5).mul(1e5)
