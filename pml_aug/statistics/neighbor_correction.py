"""Better variances for classes with few samples: pulled towards those of similar classes and of all classes."""

from dataclasses import dataclass

import torch
from torch import Tensor

INFINITY = float("inf")
FAR = 1e12  # what the official code adds to the distance of a class that may not be a neighbour


@dataclass(frozen=True)
class NeighborCorrection:
    r"""The variance of each class, replaced in part by that of its neighbours and of all classes.

    .. math::
        \hat\sigma^2_c = (1 - \alpha_c)\, \sigma^2_c
        + \alpha_c \bigl[\gamma\, \bar\sigma^2 + (1 - \gamma)\, \tilde\sigma^2_c\bigr]

    with :math:`\alpha` of :func:`few_sample_weight`, :math:`\bar\sigma^2` of :func:`global_variance` and
    :math:`\tilde\sigma^2` of :func:`neighbor_variance`.

    Args:
        num_neighbors: similar classes to look at, at least 1; where fewer can serve, those.
        beta: at least 0; larger trusts a few samples of a class sooner.
        gamma: in [0, 1], share of all classes beside the neighbours.
        tau: samples from which on a class needs no correction.
        tau_inclusive: whether `tau` samples are still few (the paper) or not (the official code).
        mask_before_minmax, mean_power, chunk_size: see :func:`neighbor_variance`.

    Shapes:
        mean (C, D), variance (C, D), count (C,) -> (C, D)

    Raises:
        ValueError: an argument out of range; in a call, a single class, or no class with two samples or more.

    Source: Fu, Mao, Hu, Liu and Zhang, "Intra-class Adaptive Augmentation with Neighbor Correction for Deep Metric
    Learning", TMM 2022, equations 9 to 15; official code: the estimator's `update_each_class` and
    `distribution_calibration`. By default as the paper has it. The official code is
    `NeighborCorrection(tau_inclusive=False, mask_before_minmax=False)`; there the entry of 1e12 for the class itself
    leaves every other mean at distance 0.

    Example:
        >>> mean, variance = torch.tensor([[0.0], [1.0], [1.0]]), torch.tensor([[0.0], [3.0], [3.0]])
        >>> NeighborCorrection()(mean, variance, torch.tensor([1, 50, 50])).round(decimals=5).flatten().tolist()
        [3.0, 3.0, 3.0]
    """

    num_neighbors: int = 25
    beta: float = 0.1
    gamma: float = 0.1
    tau: float = 40
    tau_inclusive: bool = True
    mask_before_minmax: bool = True
    mean_power: float = 2
    chunk_size: int = 512

    def __post_init__(self) -> None:
        for name in ("num_neighbors", "chunk_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, but got {getattr(self, name)}")
        if self.beta < 0:
            raise ValueError(f"beta must be at least 0, but got {self.beta}")
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"gamma must be between 0 and 1, but got {self.gamma}")

    @torch.no_grad()
    def __call__(self, mean: Tensor, variance: Tensor, count: Tensor) -> Tensor:
        """The corrected variance.

        Args:
            mean: of each class.
            variance: of each class, biased.
            count: samples of each class in the set that the correction is made for.
        """
        if len(mean) < 2:
            raise ValueError("neighbor correction needs at least 2 classes, but got 1: it has no neighbor")
        if not (count > 1).any():
            raise ValueError("neighbor correction needs a class with at least 2 samples, but none has a second one")
        count = count.to(variance.dtype)
        weight = few_sample_weight(count, self.beta, self.tau, self.tau_inclusive)[:, None]
        overall = global_variance(variance, count)
        neighbors = neighbor_variance(
            mean, variance, count, self.num_neighbors, self.mask_before_minmax, self.mean_power, self.chunk_size
        )
        return (1 - weight) * variance + weight * (self.gamma * overall + (1 - self.gamma) * neighbors)


def few_sample_weight(count: Tensor, beta: float = 0.1, tau: float = 40, tau_inclusive: bool = True) -> Tensor:
    r"""How much of a class's variance is replaced: 1 for a single sample, less for more, 0 beyond `tau`.

    .. math:: \alpha_c = \frac{[n_c \le \tau]}{1 + \ln(1 + \beta (n_c - 1))}

    Args:
        count: :math:`n_c`; a class without samples counts as one with a single sample.
        beta: at least 0; larger trusts a few samples sooner.
        tau: classes with more samples are left as they are.
        tau_inclusive: whether `tau` samples are still few (the paper) or not (the official code).

    Shapes:
        (C,) -> (C,)

    Example:
        >>> few_sample_weight(torch.tensor([1, 40, 41])).gt(0).tolist()
        [True, True, False]
    """
    few = count <= tau if tau_inclusive else count < tau
    return few / (1 + torch.log1p(beta * (count - 1).clamp_min(0)))


def global_variance(variance: Tensor, count: Tensor) -> Tensor:
    r"""The mean of the classes' variances, each weighing as many samples as it has, single ones left out.

    .. math:: \bar\sigma^2 = \sum_{c:\, n_c > 1} n_c \sigma^2_c \Big/ \sum_{c:\, n_c > 1} n_c

    Shapes:
        (C, D), (C,) -> (D,)
    """
    count = torch.where(count > 1, count, 0).to(variance.dtype)
    return count @ variance / count.sum()


def neighbor_variance(
    mean: Tensor,
    variance: Tensor,
    count: Tensor,
    num_neighbors: int = 25,
    mask_before_minmax: bool = True,
    mean_power: float = 2,
    chunk_size: int = 512,
) -> Tensor:
    r"""For each class the variance of the classes with the nearest means, the more alike the more it weighs.

    .. math::
        \tilde\sigma^2_c = \frac{\sum_{k \in N_c} w_{ck} \sigma^2_k}{\sum_{k \in N_c} w_{ck}}, \quad
        w_{ck} = n_k \exp\Bigl(-\frac{\nu(|\mu^p_c - \mu^p_k|)^2 + \nu(|\sigma^2_c - \sigma^2_k|)^2}{2}\Bigr)

    where :math:`\nu` brings a row of distances to [0, 1] and :math:`N_c` holds the classes with the smallest
    :math:`|\mu^p_c - \mu^p_k|`. Classes with fewer than two samples are no neighbours; a class that finds none gets
    the global variance. Memory is O(`chunk_size` C + C D); there is no loop over classes.

    Args:
        num_neighbors: of each class; where fewer can serve, those.
        mask_before_minmax: take the smallest and largest distance over the classes that may be neighbours; False
            takes them over the whole row, with 1e12 added to the distances of means that may not be (official code).
        mean_power: p, applied to each coordinate of the means; the paper's ablation found the square best.
        chunk_size: classes at a time.

    Shapes:
        (C, D), (C, D), (C,) -> (C, D)
    """
    every_class = torch.arange(len(mean), device=mean.device)
    serves = count > 1
    # the official code keeps all classes in the row, those that may not serve at a great distance
    columns = torch.where(serves)[0] if mask_before_minmax else every_class
    column_of = torch.full_like(every_class, -1).scatter_(0, columns, every_class[: len(columns)])
    overall = global_variance(variance, count)
    powers = mean**mean_power
    # distances do not change, and lose fewer digits, when the points lie around zero
    means = _Distances(powers - powers.mean(dim=0), columns)
    variances = _Distances(variance - overall, columns)
    found = []
    for rows in every_class.split(chunk_size):
        own = column_of[rows, None]
        between_means, between_variances = means.of(rows), variances.of(rows)
        if mask_before_minmax:
            nearest = _with_own(between_means, own, INFINITY).topk(min(num_neighbors, len(columns)), largest=False)
            chosen = between_variances.gather(1, nearest.indices)
            bounds = [_bounds_without_own(each, own) for each in (between_means, between_variances)]
        else:
            _with_own(between_means, own, 0.0).add_(FAR * (~serves | (rows[:, None] == every_class)))
            _with_own(between_variances, own, 0.0)
            nearest = between_means.topk(min(num_neighbors, len(columns)), largest=False)
            chosen = between_variances.gather(1, nearest.indices)
            bounds = [torch.aminmax(each, dim=1, keepdim=True) for each in (between_means, between_variances)]
        exponent = _in_unit_range(nearest.values, *bounds[0]).square() + _in_unit_range(chosen, *bounds[1]).square()
        neighbors = columns[nearest.indices]
        allowed = serves[neighbors] & (neighbors != rows[:, None])
        weight = torch.where(allowed, count[neighbors] * torch.exp(-exponent / 2), 0)
        total = weight.sum(dim=1, keepdim=True)
        mixed = torch.bmm(weight[:, None], variance[neighbors]).squeeze(1) / total
        found.append(torch.where(total > 0, mixed, overall))
    return torch.cat(found)


class _Distances:
    """Euclidean distances of some points to the columns: one product a call, with what all calls share made once."""

    def __init__(self, points: Tensor, columns: Tensor) -> None:
        squares, ones = points.square().sum(dim=1, keepdim=True), points.new_ones(len(points), 1)
        self.points = torch.cat([points, ones, squares], dim=1)
        self.columns = torch.cat([-2 * points, squares, ones], dim=1)[columns]

    def of(self, rows: Tensor) -> Tensor:
        """(R,) -> (R, columns)"""
        return (self.points[rows] @ self.columns.T).clamp_min_(0).sqrt_()


def _with_own(distances: Tensor, own: Tensor, value: float) -> Tensor:
    """The same tensor, with `value` where the row meets its own class; rows with -1 in `own` are no column."""
    place = own.clamp_min(0)
    return distances.scatter_(1, place, torch.where(own < 0, distances.gather(1, place), value))


def _bounds_without_own(distances: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest and the largest distance of each row, without its own class's, which is overwritten."""
    smallest = _with_own(distances, own, INFINITY).amin(dim=1, keepdim=True)
    return smallest, _with_own(distances, own, -INFINITY).amax(dim=1, keepdim=True)


def _in_unit_range(distances: Tensor, smallest: Tensor, largest: Tensor) -> Tensor:
    """Where distances lie between the smallest and the largest of their row, 0 to 1; 0 where these are equal."""
    return (distances - smallest) / (largest - smallest).clamp_min(torch.finfo(distances.dtype).tiny)
