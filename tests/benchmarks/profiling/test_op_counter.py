"""Kernels, host waits and memory are counted right on calls that can be counted by hand."""

import pytest
import torch

from benchmarks.profiling.op_counter import count


def on_device(call, *tensors):
    """Counts of `call` on tensors that lie on the device."""

    def build(device):
        there = [tensor.to(device) for tensor in tensors]
        return lambda: call(*there)

    return count(build)


def test_views_are_no_kernels():
    matrix = torch.ones(4, 6)
    assert on_device(lambda rows: rows.view(6, 4).T[0].unsqueeze(0), matrix).kernels == 0
    assert on_device(lambda rows: rows.T.contiguous() + 1, matrix).kernels == 2


VALUES, MASK, PLACES = torch.arange(4.0), torch.tensor([True, False, True, False]), torch.tensor([0, 1])


@pytest.mark.parametrize(
    "call",
    [
        lambda values, mask: values.sum().item(),
        lambda values, mask: float(values[0]),
        lambda values, mask: values.sum() > 0 or None,
        lambda values, mask: torch.nonzero(mask),
        lambda values, mask: torch.where(mask),
        lambda values, mask: values[mask],
        lambda values, mask: values.tolist(),
        lambda values, mask: values.cpu(),
        lambda values, mask: torch.unique(values),
        lambda values, mask: torch.bincount(values.long()),
    ],
)
def test_what_the_host_must_read_is_a_wait(call):
    assert on_device(call, VALUES, MASK).waits == 1


def test_one_number_for_all_of_a_mask_is_no_wait():
    assert on_device(lambda values, mask: values.__setitem__(mask, 0.5), VALUES, MASK).waits == 0
    assert on_device(lambda values, mask: values.__setitem__(mask, values[:2] + 0), VALUES, MASK).waits == 1


def test_what_stays_on_the_device_is_no_wait():
    assert on_device(lambda values, places: values[places] * 2, VALUES, PLACES).waits == 0
    assert on_device(lambda values, mask: torch.where(mask, values, 0).sum(), VALUES, MASK).waits == 0


def test_what_the_host_does_by_itself_is_no_wait_and_no_kernel():
    assert on_device(lambda values: torch.nonzero(MASK).tolist(), VALUES) == (0, 0, 0)


@pytest.mark.parametrize(
    ("call", "waits"),
    [
        (lambda values: PLACES.to(values.device), 1),
        (lambda values: PLACES.to(values.device, non_blocking=True), 0),
        (lambda values: values.copy_(torch.zeros(4)), 1),
        (lambda values: values.copy_(torch.zeros(4), non_blocking=True), 0),
        (lambda values: values.copy_(values + 1), 0),
        (lambda values: values[PLACES], 1),
        (lambda values: values.index_put_((PLACES,), values[2:] + 0), 1),
    ],
)
def test_what_the_host_sends_is_waited_for_unless_it_says_otherwise(call, waits):
    assert on_device(call, VALUES).waits == waits


def test_peak_memory_is_the_most_held_at_once():
    kilobyte = torch.ones(256)

    def one_after_the_other(rows):
        first = rows + 1
        del first
        return rows + 2

    assert on_device(one_after_the_other, kilobyte).peak_bytes == 1024
    assert on_device(lambda rows: (rows + 1, rows + 2), kilobyte).peak_bytes == 2048


def test_the_backward_pass_is_counted():
    def build(device):
        weight = torch.ones(3, device=device, requires_grad=True)
        return lambda: (weight * 2).sum().backward()

    forward = on_device(lambda weight: (weight * 2).sum(), torch.ones(3))
    assert count(build).kernels > forward.kernels


def test_the_numbers_are_those_of_the_cpu():
    torch.manual_seed(0)
    layer, rows = torch.nn.Linear(5, 3), torch.randn(7, 5)
    expected = layer(rows).relu().square().sum()
    (expected_gradient,) = torch.autograd.grad(expected, layer.weight)
    found = []

    def build(device):
        there = layer.to(device)

        def call():
            value = there(rows.to(device)).relu().square().sum()
            found.extend([value.cpu(), torch.autograd.grad(value, there.weight)[0].cpu()])

        return call

    count(build)
    torch.testing.assert_close(found, [expected, expected_gradient])
