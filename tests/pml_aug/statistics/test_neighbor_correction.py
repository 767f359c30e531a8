"""Neighbour correction: recorded numbers, hand-made cases, limits, clamps, refusals."""

import math

import pytest
import torch
from measuring import relative_error

from pml_aug.statistics import (
    ClassStatistics,
    NeighborCorrection,
    few_sample_weight,
    global_variance,
    neighbor_variance,
)


def classes(num_classes=9, size=4):
    mean, variance = torch.randn(num_classes, size).double(), torch.rand(num_classes, size).double()
    return mean, variance, torch.randint(2, 60, (num_classes,))


def by_loops(mean, variance, count, num_neighbors, mean_power=2):
    """The formula of :func:`neighbor_variance`, class by class."""
    found = []
    for one in range(len(mean)):
        others = [other for other in range(len(mean)) if other != one and count[other] > 1]
        between_means = {other: (mean[one] ** mean_power - mean[other] ** mean_power).norm() for other in others}
        between_variances = {other: (variance[one] - variance[other]).norm() for other in others}
        nearest = sorted(others, key=between_means.__getitem__)[:num_neighbors]

        def scaled(distances, other):
            low, high = min(distances.values()), max(distances.values())
            return (distances[other] - low) / (high - low) if high > low else torch.zeros(())

        weight = {
            other: count[other]
            * torch.exp(-(scaled(between_means, other) ** 2 + scaled(between_variances, other) ** 2) / 2)
            for other in nearest
        }
        found.append(sum(weight[other] * variance[other] for other in nearest) / sum(weight.values()))
    return torch.stack(found)


# ---- recorded numbers


@pytest.mark.parametrize("name", ["iaaneighbor_00", "iaaneighbor_01"])
def test_every_step_of_the_official_correction_is_the_recorded_one(golden, name):
    file = golden(name)
    meta = file.meta
    shape = meta["class_num"], meta["feature_num"]
    statistics = ClassStatistics(*shape, meta["momentum"]).double()
    for call in range(meta["calls"]):
        seen = ClassStatistics(*shape, momentum=1.0).double()
        seen.update(getattr(file, f"features_{call}"), getattr(file, f"labels_{call}"))
        statistics.merge(seen, skip_singletons=True)
        mean, variance, count = statistics.mean, statistics.variance, seen.count.double()
        official = NeighborCorrection(
            meta["num_neighbor"], meta["beta"], meta["gamma"], tau_inclusive=False, mask_before_minmax=False
        )
        results = {
            "mean_after": mean,
            "covariance_after": variance,
            "class_weight_after": few_sample_weight(count, meta["beta"], 40, tau_inclusive=False),
            "global_covariance_after": global_variance(variance, count),
            "neighbor_covariance_after": neighbor_variance(
                mean, variance, count, meta["num_neighbor"], mask_before_minmax=False
            ),
            "calibrated_covariance": official(mean, variance, seen.count),
        }
        for recorded, result in results.items():
            assert relative_error(result, getattr(file, f"{recorded}_{call}")) < 1e-10, recorded
        assert torch.equal(statistics.count.double(), getattr(file, f"amount_after_{call}"))


def test_a_limit_one_lower_is_the_official_strict_one():
    count = torch.arange(1, 60)
    assert torch.equal(few_sample_weight(count, tau=39), few_sample_weight(count, tau=40, tau_inclusive=False))


# ---- by hand


def test_weight_of_few_samples_by_hand():
    weight = few_sample_weight(torch.tensor([1.0, 11.0, 40.0, 41.0]), beta=0.1, tau=40)
    expected = [1.0, 1 / (1 + math.log(2)), 1 / (1 + math.log(4.9)), 0.0]
    torch.testing.assert_close(weight, torch.tensor(expected))


def test_global_variance_weighs_by_samples_and_leaves_single_ones_out():
    variance = torch.tensor([[9.0, 9.0], [1.0, 2.0], [5.0, 6.0]])
    assert global_variance(variance, torch.tensor([1, 3, 1])).tolist() == [1.0, 2.0]
    assert global_variance(variance, torch.tensor([1, 3, 9])).tolist() == [4.0, 5.0]


def test_the_nearest_class_lends_its_variance():
    mean = torch.tensor([[1.0, 0.0], [1.1, 0.0], [9.0, 0.0]])
    variance = torch.tensor([[1.0, 1.0], [2.0, 4.0], [7.0, 7.0]])
    lent = neighbor_variance(mean, variance, torch.tensor([1, 5, 5]), num_neighbors=1)
    torch.testing.assert_close(lent[0], variance[1])
    torch.testing.assert_close(lent[1], variance[2])  # the single sample of class 0 has no variance to lend


def test_two_neighbors_by_hand():
    mean, variance = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[1.0], [2.0], [4.0]])
    lent = neighbor_variance(mean, variance, torch.tensor([3, 4, 8]), num_neighbors=2)
    # from class 0: the nearer mean (1 of 1, 4) and the nearer variance are both those of class 1, at 0; class 2 is at 1
    first, second = 4.0, 8.0 * math.exp(-1.0)
    torch.testing.assert_close(lent[0, 0], torch.tensor((first * 2 + second * 4) / (first + second)))


@pytest.mark.parametrize("mean_power", [1, 2])
@pytest.mark.parametrize("chunk_size", [1, 4, 100])
def test_chunks_give_the_formula_class_by_class(mean_power, chunk_size):
    mean, variance, count = classes()
    count[3] = 1
    found = neighbor_variance(mean, variance, count, 3, mean_power=mean_power, chunk_size=chunk_size)
    torch.testing.assert_close(found, by_loops(mean, variance, count, 3, mean_power))


def test_squared_means_know_no_sign():
    mean, variance, count = classes()
    assert torch.allclose(neighbor_variance(mean, variance, count, 3), neighbor_variance(-mean, variance, count, 3))


# ---- limits


def test_classes_with_many_samples_stay_as_they_are():
    mean, variance, count = classes()
    count[:4] = torch.tensor([41, 50, 60, 1000])
    corrected = NeighborCorrection(num_neighbors=3)(mean, variance, count)
    assert torch.equal(corrected[:4], variance[:4])


def test_a_single_sample_is_replaced_whole():
    mean, variance, count = classes()
    count[2] = 1
    corrected = NeighborCorrection(num_neighbors=3, gamma=0.25)(mean, variance, count)
    lent = neighbor_variance(mean, variance, count, 3)
    torch.testing.assert_close(corrected[2], 0.25 * global_variance(variance, count) + 0.75 * lent[2])


def test_more_neighbors_than_classes_are_those_that_there_are():
    mean, variance, count = classes(num_classes=5)
    count[0] = 1
    found = neighbor_variance(mean, variance, count, num_neighbors=25)
    torch.testing.assert_close(found, by_loops(mean, variance, count, num_neighbors=4))


def test_a_class_without_any_neighbor_gets_the_global_variance():
    mean, variance = torch.randn(3, 2), torch.rand(3, 2)
    lent = neighbor_variance(mean, variance, torch.tensor([1, 6, 1]), num_neighbors=2)
    for row in lent:
        torch.testing.assert_close(row, variance[1])


def test_classes_that_never_came_are_corrected_like_single_samples():
    mean, variance, _ = classes(num_classes=4)
    mean[0], variance[0] = 0, 0
    never, once = (NeighborCorrection(2)(mean, variance, torch.tensor([n, 3, 4, 5])) for n in (0, 1))
    assert torch.equal(never, once) and (never[0] > 0).all()


def test_equal_classes_lend_each_other_what_they_have():
    variance = torch.full((4, 2), 3.0)
    corrected = NeighborCorrection(2)(torch.ones(4, 2), variance, torch.tensor([1, 2, 3, 4]))
    torch.testing.assert_close(corrected, variance)


def test_float32_is_close_to_float64():
    mean, variance, count = classes(num_classes=60, size=32)
    exact = NeighborCorrection(5)(mean + 100, variance, count)
    rounded = NeighborCorrection(5)((mean + 100).float(), variance.float(), count)
    # distances of more than 25 rows come from a matrix product; far from zero they would lose most digits
    torch.testing.assert_close(rounded, exact.float(), rtol=1e-3, atol=1e-4)


# ---- refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_neighbors": 0}, "num_neighbors must be at least 1, but got 0"),
        ({"chunk_size": 0}, "chunk_size must be at least 1, but got 0"),
        ({"beta": -1}, "beta must be at least 0, but got -1"),
        ({"gamma": 1.1}, "gamma must be between 0 and 1, but got 1.1"),
        ({"num_neighbors": 2.5}, "num_neighbors must be an integer, but got 2.5"),
        ({"beta": math.inf}, "beta must be at least 0 and finite, but got inf"),
        ({"tau": math.nan}, "tau must be at least 0, but got nan"),
        ({"mean_power": 0}, "mean_power must be above 0, but got 0"),
        ({"tau_inclusive": "no"}, "tau_inclusive must be True or False, but got 'no'"),
        ({"mask_before_minmax": 1}, "mask_before_minmax must be True or False, but got 1"),
    ],
)
def test_bad_settings_are_refused_by_name(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        NeighborCorrection(**arguments)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (few_sample_weight, {"beta": -1}, "beta must be at least 0"),
        (few_sample_weight, {"tau": math.nan}, "tau must be at least 0"),
        (neighbor_variance, {"num_neighbors": 0}, "num_neighbors must be at least 1"),
        (neighbor_variance, {"chunk_size": 1.5}, "chunk_size must be an integer"),
    ],
)
def test_the_parts_refuse_bad_settings_too(function, arguments, message):
    mean, variance, count = classes()
    tensors = (count,) if function is few_sample_weight else (mean, variance, count)
    with pytest.raises((TypeError, ValueError), match=message):
        function(*tensors, **arguments)


def test_every_class_is_corrected_with_an_infinite_tau():
    assert (few_sample_weight(torch.tensor([1, 40, 10**6]), tau=math.inf) > 0).all()


@pytest.mark.parametrize(
    ("mean", "variance", "options"),
    [
        (torch.full((3, 2), 1e20), torch.ones(3, 2), {}),  # the square of a mean overflows
        (torch.tensor([[1e12], [2e12], [4e12]]), torch.ones(3, 1), {}),  # the square of a distance overflows
        (torch.ones(3, 2), torch.tensor([[1e30], [1.0], [2.0]]).expand(3, 2), {}),
        (-torch.ones(3, 2), torch.ones(3, 2), {"mean_power": 1.5}),
        (torch.ones(3, 2), torch.full((3, 2), 1e38), {}),  # the sum of variances overflows
    ],
)
def test_moments_without_a_finite_correction_are_refused(mean, variance, options):
    with pytest.raises(ValueError, match="not finite"):
        NeighborCorrection(**options)(mean, variance, torch.tensor([2, 3, 4]))


def test_a_single_class_is_refused():
    with pytest.raises(ValueError, match="needs at least 2 classes, but got 1"):
        NeighborCorrection()(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([5]))


def test_nothing_but_single_samples_is_refused():
    with pytest.raises(ValueError, match="class with at least 2 samples"):
        NeighborCorrection()(torch.zeros(3, 2), torch.zeros(3, 2), torch.tensor([1, 1, 0]))
