"""Class variances that say less about the class: what its own variance adds is measured against them."""

from torch import Tensor


def shared_variance(variance: Tensor, seen: Tensor) -> Tensor:
    """The mean variance over the classes, for each class.

    Args:
        variance: of each class.
        seen: whether a class has a variance to count in the mean.

    Shapes:
        (C, D), (C,) -> (C, D)

    Example:
        >>> import torch
        >>> shared_variance(torch.tensor([[1.0, 4.0], [3.0, 0.0], [9.0, 9.0]]), torch.tensor([True, True, False]))[2]
        tensor([2., 2.])
    """
    return variance[seen].mean(dim=0).expand_as(variance)


def isotropic_variance(variance: Tensor, seen: Tensor) -> Tensor:
    """The mean variance over the classes and dimensions, for each class and dimension.

    Args:
        variance: of each class.
        seen: whether a class has a variance to count in the mean.

    Shapes:
        (C, D), (C,) -> (C, D)

    Example:
        >>> import torch
        >>> isotropic_variance(torch.tensor([[1.0, 4.0], [3.0, 0.0]]), torch.tensor([True, True])).unique()
        tensor([2.])
    """
    return variance[seen].mean().expand_as(variance)
