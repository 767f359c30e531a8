import itertools

import numpy as np
import pytest

from benchmarks.statistics import class_bootstrap as module
from benchmarks.statistics import class_bootstrap_interval


def test_quantiles_agree_with_all_draws_of_three_classes():
    values, labels = np.array([0.0, 0.0, 1.0, 4.0, 5.0, 6.0]), np.array([7, 7, 8, 9, 9, 9])
    sums, sizes = np.array([0.0, 1.0, 15.0]), np.array([2, 1, 3])
    every = [sums[list(d)].sum() / sizes[list(d)].sum() for d in itertools.product(range(3), repeat=3)]
    expected = np.quantile(every, [0.1, 0.9], method="inverted_cdf")
    assert class_bootstrap_interval(values, labels, confidence=0.8) == pytest.approx(tuple(expected))


def test_order_of_the_queries_does_not_matter():
    random = np.random.default_rng(0)
    values, labels = random.normal(size=60), np.repeat(np.arange(12), 5)
    order = random.permutation(60)
    assert class_bootstrap_interval(values[order], labels[order]) == pytest.approx(
        class_bootstrap_interval(values, labels)
    )


def test_blocks_of_draws_are_the_draws_at_once(monkeypatch):
    values, labels = np.random.default_rng(1).normal(size=40), np.repeat(np.arange(10), 4)
    whole = class_bootstrap_interval(values, labels, resamples=500)
    monkeypatch.setattr(module, "BLOCK", 70)
    monkeypatch.setattr(module, "KEPT", 0)
    assert class_bootstrap_interval(values, labels, resamples=500) == pytest.approx(whole)


def test_kept_draws_give_the_same_interval_for_other_values(monkeypatch):
    values, labels = np.random.default_rng(3).normal(size=(2, 300)), np.arange(300) % 70
    kept = [class_bootstrap_interval(row, labels) for row in values]
    monkeypatch.setattr(module, "KEPT", 0)
    assert kept == [class_bootstrap_interval(row, labels) for row in values] and kept[0] != kept[1]


def test_classes_that_agree_within_but_not_among_each_other_widen_the_interval():
    labels = np.repeat(np.arange(20), 10)
    values = np.random.default_rng(2).normal(size=20)[labels]
    by_class, singly = class_bootstrap_interval(values, labels), class_bootstrap_interval(values, np.arange(200))
    assert by_class.high - by_class.low > 2.5 * (singly.high - singly.low)  # the root of 10 in the limit


def test_one_class_has_no_interval():
    assert class_bootstrap_interval([0.1, 0.2], [3, 3]) is None


def test_values_without_a_class_each_are_refused():
    with pytest.raises(ValueError, match=r"one entry per query"):
        class_bootstrap_interval([0.1, 0.2], [1, 2, 3])
    with pytest.raises(ValueError, match="values must be finite, but got nan"):
        class_bootstrap_interval([0.1, float("nan")], [1, 2])
