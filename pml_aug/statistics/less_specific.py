"""Class variances that say less about the class: what its own variance adds is measured against them."""

import torch
from torch import Tensor


def shared_variance(variance: Tensor, seen: Tensor) -> Tensor:
    """The mean variance over the classes, for each class.

    Args:
        variance: of each class.
        seen: whether a class has a variance to count in the mean.

    Shapes:
        (C, D), (C,) -> (C, D)

    Example:
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
        >>> isotropic_variance(torch.tensor([[1.0, 4.0], [3.0, 0.0]]), torch.tensor([True, True])).unique()
        tensor([2.])
    """
    return variance[seen].mean().expand_as(variance)


def other_classes(num_classes: int, generator: torch.Generator | None = None) -> Tensor:
    """For each class another one, each once: a random circle of all classes.

    Args:
        num_classes: C, at least 1; a single class gets itself.
        generator: source of the order, which is drawn on its device; by default torch's global generator.

    Shapes:
        -> (C,), long

    Example:
        >>> sorted(other_classes(3).tolist()), bool((other_classes(3) == torch.arange(3)).any())
        ([0, 1, 2], False)
    """
    device = "cpu" if generator is None else generator.device
    circle = torch.randperm(num_classes, generator=generator, device=device)
    others = torch.empty_like(circle)
    others[circle] = circle.roll(1)
    return others
