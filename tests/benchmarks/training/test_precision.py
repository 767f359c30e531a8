import copy

import pytest
import torch
from torch import nn

from benchmarks.training.precision import autocast, compile_models, is_compiled, lay_out, uncompiled
from benchmarks.trunks import SmallCNN

CPU = torch.device("cpu")


@pytest.fixture
def models():
    torch.manual_seed(0)
    return {"trunk": SmallCNN(1, [4]), "embedder": nn.Linear(4, 4)}


@pytest.fixture
def images():
    return torch.randn(6, 1, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def no_compiler(monkeypatch):
    """As on a machine without a C++ compiler."""
    from torch._inductor import config
    from torch._inductor.utils import clear_caches

    torch.compiler.reset()  # nothing compiled before serves ...
    clear_caches()  # ... nor its kernels
    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setattr(config, "force_disable_caches", True)


def embeddings_of(models, images):
    return models["embedder"](models["trunk"](images))


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_here")
def test_a_compiled_model_gives_the_values_and_gradients_of_the_plain_one(models, images):
    plain = copy.deepcopy(models)
    assert compile_models(models, images, "float32") is None
    assert is_compiled(models["trunk"])
    embeddings, expected = embeddings_of(models, images), embeddings_of(plain, images)
    torch.testing.assert_close(embeddings, expected)
    embeddings.square().sum().backward()
    expected.square().sum().backward()
    for name in models:
        for parameter, other in zip(models[name].parameters(), plain[name].parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(models[name].state_dict(), plain[name].state_dict())
    with uncompiled(models["trunk"]):
        assert embeddings_of(models, images[:1]).shape == (1, 4)


@pytest.mark.slow
def test_without_a_compiler_the_models_stay_as_they_were(models, images, no_compiler):
    before = copy.deepcopy(models["trunk"].state_dict())
    random = torch.get_rng_state()
    problem = compile_models(models, images, "float32")
    assert problem is not None and "no-such-compiler" in problem
    assert not is_compiled(models["trunk"]) and not is_compiled(models["embedder"])
    torch.testing.assert_close(models["trunk"].state_dict(), before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in models["trunk"].parameters())
    assert torch.equal(torch.get_rng_state(), random)
    embeddings_of(models, images).sum().backward()


def test_float32_is_no_autocast_and_bfloat16_is():
    with autocast("float32", CPU):
        assert not torch.is_autocast_enabled("cpu")
    with autocast("bfloat16", CPU):
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.bfloat16


def test_the_layout_moves_no_weight(images):
    trunk = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3))
    parameters = list(trunk.parameters())
    before = trunk(images)
    lay_out(trunk)
    assert trunk[1].weight.is_contiguous(memory_format=torch.channels_last)
    assert all(now is then for now, then in zip(trunk.parameters(), parameters, strict=True))
    torch.testing.assert_close(trunk(images), before)
