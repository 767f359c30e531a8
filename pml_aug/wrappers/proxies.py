"""Where PML's losses keep the proxies of their classes, and how more are added to them."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from pytorch_metric_learning import losses
from torch import Tensor, nn

from pml_aug.distances.cosines import is_plain_cosine


class ProxyLayout(NamedTuple):
    """How a loss stores its proxies: one below the other or side by side, the K of a class together."""

    parameter: str  # name of the parameter
    dim: int  # along which the proxies lie: 0 for (C * K, D), 1 for (D, C * K)
    per_class: str | None = None  # attribute that holds K, the proxies of a class; None for one
    to_unit: bool = False  # whether the loss brings its proxies to unit length, in place

    def count(self, loss: nn.Module) -> int:
        """C * K, the proxies of the loss."""
        return getattr(loss, self.parameter).shape[self.dim]

    def count_per_class(self, loss: nn.Module) -> int:
        """K."""
        return 1 if self.per_class is None else getattr(loss, self.per_class)

    def proxies(self, loss: nn.Module) -> Tensor:
        """All proxies, one below the other: (C * K, D)."""
        stored = getattr(loss, self.parameter)
        return stored.T if self.dim else stored

    def bring_to_unit(self, loss: nn.Module) -> None:
        """What the loss does to its proxies itself, as it does it; most do nothing."""
        if self.to_unit:
            parameter = getattr(loss, self.parameter)
            parameter.data = parameter.data.renorm(2, self.dim, 1e-5).mul(1e5)

    def places(self, loss: nn.Module, classes: Tensor) -> Tensor:
        """Where the proxies of some classes are: (N,) -> (N * K,)."""
        per_class = self.count_per_class(loss)
        if per_class == 1:
            return classes
        return (classes[:, None] * per_class + torch.arange(per_class, device=classes.device)).flatten()

    def as_stored(self, proxies: Tensor) -> Tensor:
        """Proxies one below the other in the layout of the parameter."""
        return proxies.T if self.dim else proxies


LAYOUTS: Mapping[type[nn.Module], ProxyLayout] = {
    losses.ProxyAnchorLoss: ProxyLayout("proxies", dim=0),
    losses.ProxyNCALoss: ProxyLayout("proxies", dim=0),
    losses.NormalizedSoftmaxLoss: ProxyLayout("W", dim=1),
    losses.LargeMarginSoftmaxLoss: ProxyLayout("W", dim=1),  # ArcFace, CosFace and SphereFace are of it too
    losses.SubCenterArcFaceLoss: ProxyLayout("W", dim=1, per_class="sub_centers"),
    losses.SoftTripleLoss: ProxyLayout("fc", dim=1, per_class="centers_per_class"),
    losses.P2SGradLoss: ProxyLayout("weight", dim=1, to_unit=True),
}


def layout_of(loss: nn.Module) -> ProxyLayout | None:
    """How `loss` stores its proxies, or None where it has none of its classes."""
    return next((LAYOUTS[kind] for kind in type(loss).__mro__ if kind in LAYOUTS), None)


READ_BY_DISTANCE = (
    losses.ArcFaceLoss,
    losses.CosFaceLoss,
    losses.NormalizedSoftmaxLoss,
    losses.ProxyAnchorLoss,
    losses.ProxyNCALoss,
    losses.SoftTripleLoss,
    losses.SubCenterArcFaceLoss,
)


def reads_cosines_only(loss: nn.Module) -> bool:
    """Whether `loss` asks for the cosines with its proxies, and counts them, and reads them nowhere else.

    Then the matrix serves it as well as the proxies do. A subclass may read more, and is none of these.
    """
    if type(loss) not in READ_BY_DISTANCE or getattr(loss, "weight_regularizer", None) is not None:
        return False
    return is_plain_cosine(loss.distance)


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
