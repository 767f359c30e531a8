"""Kernels, host waits and memory are counted right on calls that can be counted by hand."""

import torch

from benchmarks.cost.counting import count


def test_views_are_no_kernels():
    matrix = torch.ones(4, 6)
    assert count(lambda: matrix.view(6, 4).T[0].unsqueeze(0)).kernels == 0
    assert count(lambda: matrix.T.contiguous() + 1).kernels == 2


def test_what_the_host_must_read_is_a_wait():
    values, mask = torch.arange(4.0), torch.tensor([True, False, True, False])
    assert count(lambda: values.sum().item()).waits == 1
    assert count(lambda: torch.nonzero(mask)).waits == 1
    assert count(lambda: values[mask]).waits == 1
    assert count(lambda: values[torch.tensor([0, 1])] * 2).waits == 0


def test_peak_memory_is_the_most_held_at_once():
    kilobyte = torch.ones(256)

    def one_after_the_other():
        first = kilobyte + 1
        del first
        return kilobyte + 2

    assert count(one_after_the_other).peak_bytes == 1024
    assert count(lambda: (kilobyte + 1, kilobyte + 2)).peak_bytes == 2048


def test_the_backward_pass_is_counted():
    weight = torch.ones(3, requires_grad=True)
    forward = count(lambda: (weight * 2).sum())
    assert count(lambda: (weight * 2).sum().backward()).kernels > forward.kernels
