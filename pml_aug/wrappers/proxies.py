"""Where PML's losses keep the proxies of their classes, and how more are added to them."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from pytorch_metric_learning import losses
from torch import Tensor, nn


class ProxyLayout(NamedTuple):
    """How a loss stores its proxies."""

    parameter: str  # name of the parameter
    as_columns: bool  # (D, C * K) instead of (C * K, D)
    per_class: str | None = None  # attribute that holds K, the proxies of a class; None for one

    def rows_of(self, loss: nn.Module) -> Tensor:
        """The proxies one below the other, the K of a class together: (C * K, D), a view of the parameter."""
        proxies = getattr(loss, self.parameter)
        return proxies.T if self.as_columns else proxies

    def enlarged(self, loss: nn.Module, extra: Tensor) -> Tensor:
        """The parameter with `extra` proxies at its end: (k * K, D) -> as stored, for C + k classes."""
        stored = getattr(loss, self.parameter).to(extra.device)
        return torch.cat([stored, extra.T], dim=1) if self.as_columns else torch.cat([stored, extra])

    def proxies_per_class(self, loss: nn.Module) -> int:
        """K."""
        return 1 if self.per_class is None else getattr(loss, self.per_class)


LAYOUTS: Mapping[type[nn.Module], ProxyLayout] = {
    losses.ProxyAnchorLoss: ProxyLayout("proxies", as_columns=False),
    losses.ProxyNCALoss: ProxyLayout("proxies", as_columns=False),
    losses.NormalizedSoftmaxLoss: ProxyLayout("W", as_columns=True),
    losses.LargeMarginSoftmaxLoss: ProxyLayout("W", as_columns=True),  # ArcFace, CosFace and SphereFace are of it too
    losses.SubCenterArcFaceLoss: ProxyLayout("W", as_columns=True, per_class="sub_centers"),
    losses.SoftTripleLoss: ProxyLayout("fc", as_columns=True, per_class="centers_per_class"),
    losses.P2SGradLoss: ProxyLayout("weight", as_columns=True),
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
