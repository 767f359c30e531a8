"""Variances of classes with few samples, corrected by those of similar classes and of all classes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pml_aug.validation import check_flag, check_integer, check_number, is_finite

INFINITY = float("inf")
FAR = 1e12  # added by the official code to the distance of a class that must not be a neighbour


@dataclass(frozen=True)
class NeighborCorrection:
    r"""The variance of each class, replaced in part by that of its neighbours and of all classes.

    .. math::
        \hat\sigma^2_c = (1 - \alpha_c)\, \sigma^2_c
        + \alpha_c \bigl[\gamma\, \bar\sigma^2 + (1 - \gamma)\, \tilde\sigma^2_c\bigr]

    with :math:`\alpha` of :func:`few_sample_weight`, :math:`\bar\sigma^2` of :func:`global_variance` and
    :math:`\tilde\sigma^2` of :func:`neighbor_variance`.

    Args:
        num_neighbors: number of similar classes per class, at least 1; fewer if there are fewer candidates.
        beta: at least 0; with a larger value, fewer samples are enough for a class to keep its own variance.
        gamma: share of the global variance in the replacement, in [0, 1]; the rest comes from the neighbours.
        tau: number of samples above which a class is not corrected, at least 0; infinity corrects all classes.
        tau_inclusive: whether a class with exactly `tau` samples is corrected (the paper) or not (the official code).
        mask_before_minmax, mean_power, chunk_size: see :func:`neighbor_variance`.

    Shapes:
        mean (C, D), variance (C, D), count (C,) -> (C, D)

    Raises:
        TypeError: an argument of another type.
        ValueError: an argument out of range; in a call, a single class, no class with two samples or more, or moments
            so large that the result is not finite.

    Source: Fu, Mao, Hu, Liu and Zhang, "Intra-class Adaptive Augmentation with Neighbor Correction for Deep Metric
    Learning", TMM 2022, equations 9 to 15; official code: the estimator's `update_each_class` and
    `distribution_calibration`. The defaults are the paper's. The official code is
    `NeighborCorrection(tau_inclusive=False, mask_before_minmax=False)`; its entry of 1e12 for the class itself puts
    all other means at distance 0 after scaling.

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
        check_number("gamma", self.gamma, minimum=0, maximum=1)
        _check_weighting(self.beta, self.tau, self.tau_inclusive)
        _check_search(self.num_neighbors, self.mask_before_minmax, self.mean_power, self.chunk_size)

    @torch.no_grad()
    def __call__(self, mean: Tensor, variance: Tensor, count: Tensor) -> Tensor:
        """The corrected variance.

        Args:
            mean: (C, D), mean of each class.
            variance: (C, D), biased variance of each class.
            count: (C,), samples of each class in the data set that the correction is made for.
        """
        if len(mean) < 2:
            raise ValueError("neighbor correction needs at least 2 classes, but got 1")
        if not (count > 1).any():
            raise ValueError("neighbor correction needs a class with at least 2 samples, but every class has fewer")
        count = count.to(variance.dtype)
        weight = few_sample_weight(count, self.beta, self.tau, self.tau_inclusive)[:, None]
        overall = global_variance(variance, count)
        neighbors = neighbor_variance(
            mean, variance, count, self.num_neighbors, self.mask_before_minmax, self.mean_power, self.chunk_size
        )
        corrected = (1 - weight) * variance + weight * (self.gamma * overall + (1 - self.gamma) * neighbors)
        if not is_finite(corrected):
            raise ValueError(
                f"the corrected variances are not finite: the variances are too large for {variance.dtype}"
            )
        return corrected


def few_sample_weight(count: Tensor, beta: float = 0.1, tau: float = 40, tau_inclusive: bool = True) -> Tensor:
    r"""The share of each class's variance to replace: 1 for a single sample, less for more, 0 above `tau`.

    .. math:: \alpha_c = \frac{[n_c \le \tau]}{1 + \ln(1 + \beta (n_c - 1))}

    Args:
        count: :math:`n_c`, samples of each class; a class without samples counts as a class with one.
        beta: at least 0; the share falls faster with a larger value.
        tau: number of samples above which nothing is replaced, at least 0.
        tau_inclusive: whether a class with exactly `tau` samples is corrected (the paper) or not (the official code).

    Shapes:
        (C,) -> (C,)

    Raises:
        TypeError: an argument of another type.
        ValueError: an argument out of range.

    Source: Fu et al., "Intra-class Adaptive Augmentation with Neighbor Correction for Deep Metric Learning", TMM 2022,
    equations 9 to 15; the official code corrects below `tau` samples only (`tau_inclusive=False`).

    Example:
        >>> few_sample_weight(torch.tensor([1, 40, 41])).gt(0).tolist()
        [True, True, False]
    """
    _check_weighting(beta, tau, tau_inclusive)
    few = count <= tau if tau_inclusive else count < tau
    return few / (1 + torch.log1p(beta * (count - 1).clamp_min(0)))


def global_variance(variance: Tensor, count: Tensor) -> Tensor:
    r"""The mean of the variances of all classes with two samples or more, weighted by their number of samples.

    .. math:: \bar\sigma^2 = \sum_{c:\, n_c > 1} n_c \sigma^2_c \Big/ \sum_{c:\, n_c > 1} n_c

    Args:
        variance: :math:`\sigma^2_c`, at least 0.
        count: :math:`n_c`, samples of each class; at least one class needs two.

    Shapes:
        (C, D), (C,) -> (D,)

    Source: Fu et al., "Intra-class Adaptive Augmentation with Neighbor Correction for Deep Metric Learning", TMM 2022,
    equations 9 to 15. Classes with one sample are left out as in the official code; the paper sums over all classes.

    Example:
        >>> global_variance(torch.tensor([[1.0], [4.0], [9.0]]), torch.tensor([2, 4, 1])).tolist()
        [3.0]
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
    r"""For each class the weighted mean of the variances of the classes with the nearest means.

    .. math::
        \tilde\sigma^2_c = \frac{\sum_{k \in N_c} w_{ck} \sigma^2_k}{\sum_{k \in N_c} w_{ck}}, \quad
        w_{ck} = n_k \exp\Bigl(-\frac{\nu(|\mu^p_c - \mu^p_k|)^2 + \nu(|\sigma^2_c - \sigma^2_k|)^2}{2}\Bigr)

    where :math:`\nu` scales a row of distances to [0, 1] and :math:`N_c` holds the classes with the smallest
    :math:`|\mu^p_c - \mu^p_k|`. Classes with fewer than two samples are no neighbours; a class without neighbours
    gets the global variance. Memory is O(`chunk_size` C + C D); there is no loop over classes.

    Args:
        mean: :math:`\mu_c`.
        variance: :math:`\sigma^2_c`, at least 0.
        count: :math:`n_c`, samples of each class.
        num_neighbors: number of neighbours per class, at least 1; fewer if there are fewer candidates.
        mask_before_minmax: scale by the smallest and largest distance to classes that may be neighbours; False uses the
            whole row, with 1e12 added to the distances between means of the other classes (official code).
        mean_power: p, applied to each coordinate of the means, above 0; the paper's ablation found 2 best.
        chunk_size: number of classes processed at a time, at least 1.

    Shapes:
        (C, D), (C, D), (C,) -> (C, D)

    Raises:
        TypeError: an argument of another type.
        ValueError: an argument out of range; means whose powers are not finite.

    Source: Fu et al., "Intra-class Adaptive Augmentation with Neighbor Correction for Deep Metric Learning", TMM 2022,
    equations 9 to 15; official code: the estimator's `update_each_class`, which is `mask_before_minmax=False`.

    Example:
        >>> mean, variance = torch.tensor([[0.0], [1.0], [9.0]]), torch.tensor([[1.0], [2.0], [5.0]])
        >>> neighbor_variance(mean, variance, torch.tensor([4, 4, 4]), num_neighbors=1).flatten().tolist()
        [2.0, 1.0, 2.0]
    """
    _check_search(num_neighbors, mask_before_minmax, mean_power, chunk_size)
    every_class = torch.arange(len(mean), device=mean.device)
    serves = count > 1
    # the official code keeps all classes in the row and adds a large distance where a class must not be a neighbour
    columns = torch.where(serves)[0] if mask_before_minmax else every_class
    column_of = torch.full_like(every_class, -1).scatter_(0, columns, every_class[: len(columns)])
    overall = global_variance(variance, count)
    powers = mean**mean_power
    # centring leaves distances as they are and loses fewer digits
    means = _Distances(powers - powers.mean(dim=0), columns)
    variances = _Distances(variance - overall, columns)
    if not (is_finite(means.points) and is_finite(variances.points)):
        raise ValueError(
            f"the distances between classes are not finite: means to the power of {mean_power}, or variances, are too "
            f"large for {mean.dtype}; or a negative mean has no such power"
        )
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
    """Euclidean distances from some points to the columns, by one matrix product per call."""

    def __init__(self, points: Tensor, columns: Tensor) -> None:
        squares, ones = points.square().sum(dim=1, keepdim=True), points.new_ones(len(points), 1)
        self.points = torch.cat([points, ones, squares], dim=1)
        self.columns = torch.cat([-2 * points, squares, ones], dim=1)[columns]

    def of(self, rows: Tensor) -> Tensor:
        """(R,) -> (R, columns)"""
        return (self.points[rows] @ self.columns.T).clamp_min_(0).sqrt_()


def _with_own(distances: Tensor, own: Tensor, value: float) -> Tensor:
    """Overwrite each row's distance to its own class, at column `own`, in place; -1: the class has no column."""
    place = own.clamp_min(0)
    return distances.scatter_(1, place, torch.where(own < 0, distances.gather(1, place), value))


def _bounds_without_own(distances: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest and the largest distance of each row to other classes; that to its own class is overwritten."""
    smallest = _with_own(distances, own, INFINITY).amin(dim=1, keepdim=True)
    return smallest, _with_own(distances, own, -INFINITY).amax(dim=1, keepdim=True)


def _in_unit_range(distances: Tensor, smallest: Tensor, largest: Tensor) -> Tensor:
    """Distances scaled so that the smallest and the largest of a row become 0 and 1; all 0 where these are equal."""
    return (distances - smallest) / (largest - smallest).clamp_min(torch.finfo(distances.dtype).tiny)


def _check_weighting(beta: float, tau: float, tau_inclusive: bool) -> None:
    check_number("beta", beta, minimum=0)
    check_number("tau", tau, minimum=0, finite=False)
    check_flag("tau_inclusive", tau_inclusive)


def _check_search(num_neighbors: int, mask_before_minmax: bool, mean_power: float, chunk_size: int) -> None:
    check_integer("num_neighbors", num_neighbors, minimum=1)
    check_flag("mask_before_minmax", mask_before_minmax)
    check_number("mean_power", mean_power, above=0)
    check_integer("chunk_size", chunk_size, minimum=1)
