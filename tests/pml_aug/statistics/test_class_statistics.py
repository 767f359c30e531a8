"""Class statistics: recorded numbers, plain moments, what each setting means, cost, refusals, saving."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pml_aug.statistics import ClassStatistics


def relative_error(actual, expected):
    return float((actual - expected).abs().max() / expected.abs().max().clamp_min(1e-300))


def updated(num_classes, size, momentum, *batches):
    statistics = ClassStatistics(num_classes, size, momentum).double()
    for embeddings, labels in batches:
        statistics.update(embeddings, labels)
    return statistics


# ---- recorded numbers


@pytest.mark.parametrize("name", ["iaaupdate_00", "iaaupdate_01", "iaaupdate_02"])
def test_every_update_gives_the_recorded_state(golden, name):
    file = golden(name)
    meta = file.meta
    statistics = ClassStatistics(meta["class_num"], meta["feature_num"], meta["momentum"]).double()
    for call in range(meta["n_batches"]):
        statistics.update(getattr(file, f"features_{call}"), getattr(file, f"labels_{call}"))
        assert relative_error(statistics.mean, getattr(file, f"mean_after_{call}")) < 1e-10
        assert relative_error(statistics.variance, getattr(file, f"covariance_after_{call}")) < 1e-10
        assert torch.equal(statistics.count.double(), getattr(file, f"amount_after_{call}"))


# ---- by hand


def test_one_class_by_hand():
    statistics = ClassStatistics(num_classes=1, embedding_size=2, momentum=0.5)
    statistics.update(torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 6.0]]), torch.tensor([0, 0, 0]))
    torch.testing.assert_close(statistics.mean, torch.tensor([[2.0, 2.0]]))
    torch.testing.assert_close(statistics.variance, torch.tensor([[8 / 3, 8.0]]))
    # one row after three: w = max(1/4, 1 - 0.5); a single row has no variance of its own
    statistics.update(torch.tensor([[4.0, 2.0]]), torch.tensor([0]))
    torch.testing.assert_close(statistics.mean, torch.tensor([[3.0, 2.0]]))
    torch.testing.assert_close(statistics.variance, torch.tensor([[8 / 6 + 0.25 * 4, 4.0]]))
    assert statistics.count.tolist() == [4]


def test_absent_classes_keep_what_they_have():
    statistics = updated(3, 2, 0.2, (torch.randn(6, 2), torch.arange(6) % 3))
    before = copy.deepcopy(statistics)
    statistics.update(torch.randn(4, 2), torch.tensor([0, 2, 2, 0]))
    for name in ("mean", "variance", "count"):
        assert torch.equal(getattr(statistics, name)[1], getattr(before, name)[1])


def test_momentum_one_gives_the_moments_of_all_rows():
    embeddings, labels = torch.randn(60, 4, dtype=torch.float64) * 3 + 5, torch.arange(60) % 4
    statistics = updated(4, 4, 1.0, *zip(embeddings.split([1, 7, 30, 22]), labels.split([1, 7, 30, 22]), strict=True))
    for label in range(4):
        rows = embeddings[labels == label]
        torch.testing.assert_close(statistics.mean[label], rows.mean(dim=0))
        torch.testing.assert_close(statistics.variance[label], rows.var(dim=0, unbiased=False))


def test_momentum_zero_keeps_only_the_latest_call():
    first, second = torch.randn(9, 4, dtype=torch.float64), torch.randn(9, 4, dtype=torch.float64)
    labels = torch.arange(9) % 3
    both, latest = updated(3, 4, 0.0, (first, labels), (second, labels)), updated(3, 4, 0.0, (second, labels))
    torch.testing.assert_close(both.mean, latest.mean)
    torch.testing.assert_close(both.variance, latest.variance)


def test_the_order_of_rows_does_not_matter():
    embeddings, labels = torch.randn(20, 3, dtype=torch.float64), torch.randint(5, (20,))
    order = torch.randperm(20)
    straight, shuffled = (
        updated(5, 3, 0.2, (embeddings, labels)),
        updated(5, 3, 0.2, (embeddings[order], labels[order])),
    )
    torch.testing.assert_close(straight.variance, shuffled.variance)


def test_duplicates_have_no_variance():
    statistics = ClassStatistics(2, 3)
    statistics.update(torch.full((4, 3), 0.1), torch.tensor([1, 1, 1, 1]))
    torch.testing.assert_close(statistics.variance, torch.zeros(2, 3), atol=1e-12, rtol=0)


# ---- merging


def test_merging_is_an_update_with_all_rows_at_once():
    first, second = torch.randn(12, 3, dtype=torch.float64), torch.randn(12, 3, dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1, 1, 3, 3, 3, 3, 0, 1, 0])
    expected = updated(5, 3, 0.2, (first, labels), (second, labels))
    merged = updated(5, 3, 0.2, (first, labels))
    merged.merge(updated(5, 3, 1.0, *zip(second.split(5), labels.split(5), strict=True)))
    for name in ("mean", "variance", "count"):
        torch.testing.assert_close(getattr(merged, name), getattr(expected, name))


def test_skipped_singletons_only_count():
    labels = torch.tensor([0, 0, 1])
    statistics = updated(2, 2, 0.2, (torch.randn(3, 2, dtype=torch.float64), torch.tensor([0, 1, 1])))
    before = copy.deepcopy(statistics)
    statistics.merge(updated(2, 2, 1.0, (torch.randn(3, 2, dtype=torch.float64), labels)), skip_singletons=True)
    assert torch.equal(statistics.mean[1], before.mean[1]) and torch.equal(statistics.variance[1], before.variance[1])
    assert not torch.equal(statistics.mean[0], before.mean[0])
    assert statistics.count.tolist() == [3, 3]


def test_merging_nothing_changes_nothing():
    statistics = updated(2, 2, 0.2, (torch.randn(4, 2, dtype=torch.float64), torch.tensor([0, 0, 1, 1])))
    before = copy.deepcopy(statistics.state_dict())
    statistics.merge(ClassStatistics(2, 2))
    for name in ("mean", "variance", "count"):
        assert torch.equal(getattr(statistics, name), before[name])


# ---- what does not change, and what it costs


def test_nothing_is_differentiated():
    embeddings = torch.randn(4, 2, requires_grad=True)
    statistics = ClassStatistics(2, 2)
    statistics.update(embeddings, torch.tensor([0, 0, 1, 1]))
    assert not statistics.mean.requires_grad and not statistics.variance.requires_grad


def test_buffers_change_in_place():
    statistics = ClassStatistics(2, 2)
    places = [buffer.data_ptr() for buffer in statistics.buffers()]
    statistics.update(torch.randn(4, 2), torch.tensor([0, 0, 1, 1]))
    statistics.merge(copy.deepcopy(statistics))
    assert places == [buffer.data_ptr() for buffer in statistics.buffers()]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_embeddings_of_any_precision_leave_the_dtype_of_the_buffers(dtype):
    embeddings, labels = torch.randn(8, 2).to(dtype), torch.arange(8) % 2
    statistics, expected = ClassStatistics(2, 2), ClassStatistics(2, 2)
    statistics.update(embeddings, labels)
    expected.update(embeddings.float(), labels)
    assert statistics.variance.dtype == torch.float32
    torch.testing.assert_close(statistics.variance, expected.variance)


def test_an_empty_batch_changes_nothing():
    statistics = ClassStatistics(2, 2)
    statistics.update(torch.empty(0, 2), torch.empty(0, dtype=torch.long))
    assert statistics.is_empty and statistics.count.tolist() == [0, 0]


class Watched(TorchDispatchMode):
    """The largest result that any operation allocates, and the operations that wait for the device."""

    def __init__(self):
        super().__init__()
        self.largest = 0
        self.waits = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if isinstance(result, torch.Tensor) and not name.endswith("_"):
            self.largest = max(self.largest, result.numel())
        if name in ("nonzero", "_local_scalar_dense", "_unique2", "masked_select", "bincount"):
            self.waits.append(name)
        return result


def test_an_update_makes_nothing_of_the_size_of_the_state_and_waits_for_nothing():
    statistics = ClassStatistics(num_classes=11_318, embedding_size=16)
    embeddings, labels = torch.randn(128, 16), torch.randint(11_318, (128,))
    checks = Watched()
    with checks:
        statistics._check(embeddings, labels)
    everything = Watched()
    with everything:
        statistics.update(embeddings, labels)
    assert everything.largest == 11_318  # one number a class, none a class and dimension
    assert everything.waits == checks.waits  # the checks at the border are made on the CPU only


# ---- refusals and saving


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "num_classes must be at least 1, but got 0"),
        ({"embedding_size": 0}, "embedding_size must be at least 1, but got 0"),
        ({"momentum": 1.5}, "momentum must be between 0 and 1, but got 1.5"),
        ({"momentum": float("nan")}, "momentum must be between 0 and 1, but got nan"),
        ({"num_classes": 2.0}, "num_classes must be an integer, but got 2.0"),
        ({"embedding_size": True}, "embedding_size must be an integer, but got True"),
    ],
)
def test_bad_settings_are_refused_by_name(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        ClassStatistics(**{"num_classes": 2, "embedding_size": 2} | arguments)


@pytest.mark.parametrize(
    ("embeddings", "labels", "message"),
    [
        (torch.zeros(2, 3), torch.tensor([0, 1]), r"`embeddings` must be of shape \(rows, 2\), but got \(2, 3\)"),
        (torch.zeros(2, 2), torch.tensor([0]), r"`labels` must be integers of shape \(2,\)"),
        (torch.zeros(2, 2), torch.tensor([0.0, 1.0]), "`labels` must be integers.*float32"),
        (torch.zeros(2, 2), torch.tensor([0, 3]), r"labels must be in 0 .. 2, but got 0 .. 3"),
        (torch.zeros(2, 2), torch.tensor([-1, 1]), r"labels must be in 0 .. 2, but got -1 .. 1"),
        (torch.full((2, 2), float("nan")), torch.tensor([0, 1]), "must be finite"),
        (torch.tensor([[0.0, 1.0], [float("inf"), 0.0]]), torch.tensor([0, 1]), "must be finite"),
        (torch.tensor([[1e20, 0.0], [0.0, 0.0]]), torch.tensor([0, 0]), r"too large: with values up to 1e\+20"),
        (torch.full((2, 2), 1e300, dtype=torch.float64), torch.tensor([0, 1]), "variance exceeds torch.float32"),
    ],
)
def test_bad_rows_are_refused_by_name_and_change_nothing(embeddings, labels, message):
    statistics = ClassStatistics(3, 2)
    statistics.update(torch.randn(6, 2), torch.arange(6) % 3)
    before = copy.deepcopy(statistics.state_dict())
    with pytest.raises(ValueError, match=message):
        statistics.update(embeddings, labels)
    assert all(torch.equal(value, before[name]) for name, value in statistics.state_dict().items())


def test_the_largest_rows_accepted_give_finite_moments():
    statistics = ClassStatistics(2, 3)
    limit = 0.999 * (torch.finfo(torch.float32).max / (16 * 64)) ** 0.5
    for sign in (1.0, -1.0, 1.0):
        statistics.update(sign * limit * (1 - 2 * torch.randint(2, (64, 3))), torch.arange(64) % 2)
        assert torch.isfinite(statistics.mean).all() and torch.isfinite(statistics.variance).all()
    with pytest.raises(ValueError, match="too large"):
        statistics.update(torch.full((64, 3), 1.01 * limit), torch.arange(64) % 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mean", float("nan")),
        ("mean", float("inf")),
        ("mean", 1e30),
        ("variance", float("nan")),
        ("variance", float("inf")),
    ],
)
def test_moments_that_are_not_finite_are_not_merged(name, value):
    statistics, other = ClassStatistics(2, 2), ClassStatistics(2, 2)
    for each in (statistics, other):
        each.update(torch.randn(4, 2), torch.tensor([0, 0, 1, 1]))
    getattr(other, name)[1, 1] = value
    before = copy.deepcopy(statistics.state_dict())
    with pytest.raises(ValueError, match="the mean or the variance of a class is not finite"):
        statistics.merge(other)
    assert all(torch.equal(value, before[name]) for name, value in statistics.state_dict().items())


def test_statistics_of_other_classes_are_not_merged():
    with pytest.raises(ValueError, match=r"mean and variance of shape \(3, 2\), but has \(2, 2\)"):
        ClassStatistics(3, 2).merge(ClassStatistics(2, 2))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda statistics: pickle.loads(pickle.dumps(statistics))])
def test_copies_go_on_alike(duplicate):
    statistics = updated(2, 2, 0.2, (torch.randn(4, 2, dtype=torch.float64), torch.tensor([0, 0, 1, 1])))
    other = duplicate(statistics)
    more = torch.randn(4, 2, dtype=torch.float64)
    for each in (statistics, other):
        each.update(more, torch.tensor([0, 1, 1, 1]))
    assert torch.equal(statistics.variance, other.variance) and not other.is_empty


def test_it_is_empty_while_every_count_is_zero_however_the_counts_came():
    statistics, seen = ClassStatistics(2, 2), ClassStatistics(2, 2)
    seen.update(torch.randn(4, 2), torch.tensor([0, 0, 1, 1]))
    assert statistics.is_empty and not seen.is_empty
    statistics.load_state_dict(ClassStatistics(2, 2).state_dict())
    assert statistics.is_empty
    statistics.load_state_dict(seen.state_dict())
    assert not statistics.is_empty
    statistics.count.zero_()  # as a broadcast of buffers between processes writes
    assert statistics.is_empty
    statistics.merge(seen)
    assert not statistics.is_empty
    statistics.load_state_dict(ClassStatistics(2, 2).state_dict(), assign=True)
    assert statistics.is_empty
    assert not copy.deepcopy(seen).double().is_empty and not pickle.loads(pickle.dumps(seen)).is_empty


def test_threads_lose_no_row_that_was_not_refused():
    rows, labels = torch.randn(60, 8, 3, dtype=torch.float64), torch.arange(8) % 2
    shared, expected = ClassStatistics(2, 3, momentum=1.0).double(), ClassStatistics(2, 3, momentum=1.0).double()

    def update(batch):
        try:
            shared.update(batch, labels)
        except RuntimeError as error:
            assert "in use by another thread" in str(error)
            return None
        return batch

    with ThreadPoolExecutor(4) as threads:
        counted = [batch for batch in threads.map(update, rows) if batch is not None]
    for batch in counted:
        expected.update(batch, labels)
    assert torch.equal(shared.count, expected.count)
    torch.testing.assert_close(shared.mean, expected.mean)
    torch.testing.assert_close(shared.variance, expected.variance)
