"""Where PML's losses keep the proxies of their classes, and how more are added to them."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from pytorch_metric_learning import losses
from torch import Tensor, nn


class ProxyLayout(NamedTuple):
    """How a loss stores its proxies: one below the other or side by side, the K of a class together."""

    parameter: str  # name of the parameter
    dim: int  # along which the proxies lie: 0 for (C * K, D), 1 for (D, C * K)
    per_class: str | None = None  # attribute that holds K, the proxies of a class; None for one

    def count(self, loss: nn.Module) -> int:
        """C * K, the proxies of the loss."""
        return getattr(loss, self.parameter).shape[self.dim]

    def count_per_class(self, loss: nn.Module) -> int:
        """K."""
        return 1 if self.per_class is None else getattr(loss, self.per_class)

    def of_classes(self, loss: nn.Module, classes: Tensor) -> Tensor:
        """The proxies of some classes: (N,) -> (N * K, D). Taken along the stored dimension: no copy of the rest."""
        per_class = self.count_per_class(loss)
        rows = (classes[:, None] * per_class + torch.arange(per_class, device=classes.device)).flatten()
        taken = getattr(loss, self.parameter).to(classes.device).index_select(self.dim, rows)
        return taken.T if self.dim else taken

    def enlarged(self, loss: nn.Module, extra: Tensor) -> Tensor:
        """The parameter with `extra` proxies at its end: (k * K, D) -> as stored, for C + k classes."""
        stored = getattr(loss, self.parameter).to(extra.device)
        return torch.cat([stored, extra.T if self.dim else extra], dim=self.dim)


LAYOUTS: Mapping[type[nn.Module], ProxyLayout] = {
    losses.ProxyAnchorLoss: ProxyLayout("proxies", dim=0),
    losses.ProxyNCALoss: ProxyLayout("proxies", dim=0),
    losses.NormalizedSoftmaxLoss: ProxyLayout("W", dim=1),
    losses.LargeMarginSoftmaxLoss: ProxyLayout("W", dim=1),  # ArcFace, CosFace and SphereFace are of it too
    losses.SubCenterArcFaceLoss: ProxyLayout("W", dim=1, per_class="sub_centers"),
    losses.SoftTripleLoss: ProxyLayout("fc", dim=1, per_class="centers_per_class"),
    losses.P2SGradLoss: ProxyLayout("weight", dim=1),
}


def layout_of(loss: nn.Module) -> ProxyLayout | None:
    """How `loss` stores its proxies, or None where it has none of its classes."""
    return next((LAYOUTS[kind] for kind in type(loss).__mro__ if kind in LAYOUTS), None)


class OnFirstRows(nn.Module):
    """A PML regularizer that sees only the first rows of what it is given, so that synthetic rows are not punished.

    Args:
        regularizer: any PML regularizer.
        num_rows: how many rows are the batch's or the loss's own.

    Example:
        >>> import torch
        >>> from pytorch_metric_learning.regularizers import LpRegularizer
        >>> float(OnFirstRows(LpRegularizer(p=1), 1)(torch.tensor([[1.0, 2.0], [9.0, 9.0]])))
        3.0
    """

    def __init__(self, regularizer: nn.Module, num_rows: int) -> None:
        super().__init__()
        self.regularizer = regularizer
        self.num_rows = num_rows

    def forward(self, rows: Tensor) -> Tensor:
        return self.regularizer(rows[: self.num_rows])
