"""Wrappers in real trainings: compiled trunks, interrupted and resumed steps, accelerators."""

import copy

import pytest
import torch
from pytorch_metric_learning.losses import BaseMetricLossFunction
from torch import Tensor, nn

FEATURES, SIZE, STEPS = 5, 8, 4


def make_trunk() -> nn.Module:
    torch.default_generator.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, SIZE))


def make_batch(step: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    return torch.randn(12, FEATURES, generator=generator), torch.arange(12) % 4


def train(
    trunk: nn.Module, loss: BaseMetricLossFunction, optimizer: torch.optim.Optimizer, steps: range
) -> list[float]:
    values = []
    for step in steps:
        images, labels = make_batch(step)
        value = loss(trunk(images), labels)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    return values


def make_optimizer(trunk: nn.Module, loss: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam([*trunk.parameters(), *loss.parameters()], lr=0.01)


@pytest.mark.slow
def test_a_compiled_trunk_trains_as_the_plain_one(case):
    plain, baseline = make_trunk(), case.baseline()
    compiled, losses = copy.deepcopy(plain), [case.wrap(copy.deepcopy(baseline)) for _ in range(2)]
    values = []
    for trunk, loss in zip((plain, torch.compile(compiled, backend="aot_eager")), losses, strict=True):
        torch.default_generator.manual_seed(1)
        values.append(train(trunk, loss, make_optimizer(trunk, loss), range(STEPS)))
    torch.testing.assert_close(values[1], values[0])


def test_a_training_resumed_from_its_state_dicts_goes_on_bit_for_bit(case):
    trunk, loss = make_trunk(), case.wrap(case.baseline())
    optimizer = make_optimizer(trunk, loss)
    torch.default_generator.manual_seed(1)
    train(trunk, loss, optimizer, range(2))
    saved = copy.deepcopy([part.state_dict() for part in (trunk, loss, optimizer)])
    generator = torch.get_rng_state()
    expected = train(trunk, loss, optimizer, range(2, STEPS))

    trunk, loss = make_trunk(), case.wrap(case.baseline())
    optimizer = make_optimizer(trunk, loss)
    for part, state in zip((trunk, loss, optimizer), saved, strict=True):
        part.load_state_dict(state)
    torch.set_rng_state(generator)
    assert train(trunk, loss, optimizer, range(2, STEPS)) == expected


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_on_cuda_under_autocast_it_runs_in_float32_and_stays_on_the_device(case, dtype):
    images, labels = make_batch(0)
    trunk, loss = make_trunk().cuda(), case.wrap(case.baseline()).cuda()
    with torch.autocast("cuda", dtype=dtype):
        embeddings = trunk(images.cuda())
        value = loss(embeddings, labels)
    value.backward()
    assert embeddings.dtype == dtype and value.dtype == torch.float32 and value.is_cuda
    assert all(parameter.dtype == torch.float32 and parameter.is_cuda for parameter in loss.parameters())
    assert all(torch.isfinite(parameter.grad).all() for parameter in trunk.parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_moved_to_cuda_and_back_it_gives_the_same_value(case):
    images, labels = make_batch(0)
    rows, loss = make_trunk()(images).detach(), case.switched_off(case.baseline())
    expected = loss(rows, labels)
    torch.testing.assert_close(loss.cuda()(rows.cuda(), labels).cpu(), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(loss.cpu()(rows, labels), expected)
