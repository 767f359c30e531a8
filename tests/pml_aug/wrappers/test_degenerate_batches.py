"""Batches that hold too little give a finite number or a clear error, never a silent wrong one."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pml_aug.wrappers import DenselyAnchoredSampling

SIZE = 8

Batch = tuple[Tensor, Tensor]


def _rows(count: int) -> Tensor:
    return torch.randn(count, SIZE)


BATCHES: dict[str, Callable[[], Batch]] = {
    "one class": lambda: (_rows(6), torch.zeros(6, dtype=torch.long)),
    "one sample a class": lambda: (_rows(6), torch.arange(6)),
    "duplicates": lambda: (_rows(1).repeat(6, 1), torch.arange(6) // 2),
    "duplicates across one pair": lambda: (_rows(4)[torch.tensor([0, 0, 1, 2, 3, 3])], torch.arange(6) // 2),
    "a zero vector": lambda: (torch.cat([torch.zeros(1, SIZE), _rows(5)]), torch.arange(6) // 2),
    "zero vectors alone": lambda: (torch.zeros(6, SIZE), torch.arange(6) // 2),
    "one row": lambda: (_rows(1), torch.zeros(1, dtype=torch.long)),
    "two rows of two classes": lambda: (_rows(2), torch.arange(2)),
}


@pytest.mark.parametrize("name", BATCHES)
def test_value_and_gradients_are_finite(case, name):
    embeddings, labels = BATCHES[name]()
    loss = case.wrap(case.baseline())
    embeddings.requires_grad_()
    value = loss(embeddings, labels)
    gradients = torch.autograd.grad(value, [embeddings, *loss.parameters()], allow_unused=True)
    assert torch.isfinite(value)
    assert all(torch.isfinite(gradient).all() for gradient in gradients if gradient is not None)


def test_losses_of_pairs_give_zero_where_there_is_nothing_to_compare(case):
    baseline, loss = case.baseline(), case.wrap(case.baseline())
    if list(loss.parameters()):
        pytest.skip("a proxy loss compares every row with all proxies")
    if isinstance(loss, DenselyAnchoredSampling):
        pytest.skip("the copies of a row are its positives")
    embeddings, labels = BATCHES["one row"]()
    assert baseline(embeddings, labels) == 0
    assert loss(embeddings, labels) == 0


@pytest.mark.parametrize("label", [-1, 6, 600])
def test_a_label_that_no_class_has_is_refused(case, label):
    loss = case.wrap(case.baseline())
    if not hasattr(loss, "num_classes") and not hasattr(loss, "statistics"):
        pytest.skip("labels are only compared with each other")
    with pytest.raises(ValueError, match=r"labels must be in 0 \.\. 5"):
        loss(_rows(3), torch.tensor([0, 1, label]))
