"""Proxy Synthesis: recorded numbers, hand-made cases, limits, pairs and randomness."""

import copy
import math

import pytest
import torch
from measuring import relative_error
from proxy_synthesis_cases import WORK, C, Cosine, D, batch, proxies_of, record_calls, value_and_gradients
from pytorch_metric_learning import distances, losses
from torch.nn.functional import normalize

from pml_aug.synthesis import different_class_pairs, draw_mixing, mix
from pml_aug.wrappers import ProxySynthesis

RECORDED = [f"ps_{number:02d}" for number in range(10)]


# ---- recorded numbers


@pytest.mark.parametrize("distance", [distances.CosineSimilarity, Cosine])
@pytest.mark.parametrize("name", RECORDED)
def test_around_both_official_losses_it_is_the_recorded_loss(golden, name, distance):
    file = golden(name)
    meta, shape = file.meta, file.proxies.shape
    if meta["loss"] == "Norm_SoftMax":
        scale = meta["scale"]
        loss = losses.NormalizedSoftmaxLoss(*shape, temperature=1 / scale, distance=distance()).double()
    else:
        loss = losses.ProxyNCALoss(*shape, softmax_scale=meta["scale"]).double()
    proxies_of(loss).data.copy_(file.proxies)
    calls = record_calls(loss)
    wrapper = ProxySynthesis(loss, alpha=meta["ps_alpha"], ratio=meta["ps_mu"], pairing="roll")
    value, gradient, proxy_gradient = value_and_gradients(wrapper, file.embeddings, file.labels, mixing=float(file.lam))
    assert relative_error(value, file.loss) < 1e-10
    assert relative_error(gradient, file.grad_embeddings) < 1e-10
    proxy_gradient = proxy_gradient if meta["loss"] == "Proxy_NCA" else proxy_gradient.T
    assert relative_error(proxy_gradient, file.grad_proxies) < 1e-10
    if meta["ps_mu"]:
        ((all_embeddings, all_targets, all_proxies),) = calls
        assert relative_error(normalize(all_embeddings), file.all_embeddings) < 1e-10
        assert relative_error(normalize(all_proxies), file.all_proxies) < 1e-10
        assert torch.equal(all_targets, file.all_targets)


# ---- by hand, in two dimensions


def test_half_way_between_two_classes():
    loss = losses.NormalizedSoftmaxLoss(2, 2, temperature=1.0)
    loss.W.data = torch.eye(2)
    wrapper = ProxySynthesis(loss, pairing="roll")
    value = wrapper(torch.eye(2), torch.tensor([0, 1]), mixing=0.5)
    # both synthetic rows and both synthetic proxies lie at 45 degrees
    diagonal = math.sqrt(0.5)
    original = math.log(math.e + 1 + 2 * math.exp(diagonal)) - 1
    synthetic = math.log(2 * math.exp(diagonal) + 2 * math.e) - 1
    torch.testing.assert_close(value, torch.tensor((original + synthetic) / 2))


def test_a_mixture_lies_between_directions_and_lengths():
    mixed = mix(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 4.0]]), 0.25)
    assert mixed[0, 1] / mixed[0, 0] == 3  # directions weigh 1/4 and 3/4 whatever the lengths
    torch.testing.assert_close(normalize(mixed), normalize(torch.tensor([[1.0, 3.0]])))


def test_a_mixture_of_opposite_directions_has_a_finite_gradient():
    ends = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    mix(ends[:1], ends[1:], 0.5).sum().backward()
    assert torch.isfinite(ends.grad).all()


def test_mixing_draws_follow_the_beta_distribution():
    generator = torch.Generator().manual_seed(1)
    draws = torch.tensor([draw_mixing(0.4, generator) for _ in range(4000)])
    # Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1)); both within 4 standard errors
    assert abs(draws.mean() - 0.5) < 4 * math.sqrt(0.1389 / 4000)
    assert abs(draws.var() - 1 / 7.2) < 0.006
    assert draw_mixing(0.4, torch.Generator().manual_seed(2)) == draw_mixing(0.4, torch.Generator().manual_seed(2))


# ---- limits


@pytest.mark.parametrize("name", WORK)
def test_ratio_0_gives_the_baseline_loss_to_the_last_bit(name):
    embeddings, labels = batch()
    loss = WORK[name](C)
    wrapped = value_and_gradients(ProxySynthesis(copy.deepcopy(loss), ratio=0.0), embeddings, labels)
    baseline = value_and_gradients(loss, embeddings, labels)
    assert len(baseline) == 3
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(wrapped, baseline, strict=True))


@pytest.mark.parametrize("labels", [[2, 2, 2], [5]], ids=["one class", "one row"])
def test_without_a_partner_of_another_class_it_is_the_baseline_loss(labels):
    embeddings, labels = torch.randn(len(labels), D), torch.tensor(labels)
    loss = WORK["ProxyAnchorLoss"](C)
    wrapper = ProxySynthesis(loss)
    assert torch.equal(wrapper(embeddings, labels), loss(embeddings, labels))
    assert wrapper.num_synthetic == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(WORK) - {"LargeMarginSoftmaxLoss", "SphereFaceLoss", "P2SGradLoss"}))
def test_gradient_is_the_derivative_of_the_value(name):
    embeddings, labels = batch(dtype=torch.float64, size=5)
    loss = WORK[name](C).double()
    wrapper = ProxySynthesis(loss, pairing="roll")
    parameter_name, parameter = next(loss.named_parameters())

    def value(embeddings, parameter):
        states = {f"loss.{parameter_name}": parameter}
        return torch.func.functional_call(wrapper, states, (embeddings, labels), {"mixing": 0.3})

    inputs = (embeddings.requires_grad_(), parameter.detach().clone().requires_grad_())
    assert torch.autograd.gradcheck(value, inputs, atol=1e-4)


# ---- pairing and randomness


def test_synthetic_rows_join_different_classes():
    embeddings = torch.eye(12, D * 3, dtype=torch.float64)
    labels = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 4, 5])
    loss = losses.ProxyNCALoss(C, D * 3).double()
    calls = record_calls(loss)
    ProxySynthesis(loss)(embeddings, labels, mixing=0.5)
    synthetic = calls[0][0][12:]
    assert len(synthetic) == 12
    for row in synthetic:  # each holds a half of two of the unit vectors
        first, second = torch.nonzero(row).flatten().tolist()
        assert labels[first] != labels[second]


def test_the_generator_decides_pairs_and_mixing():
    embeddings, labels = batch()
    wrapper = ProxySynthesis(WORK["ProxyAnchorLoss"](C))

    def drawn(seed):
        return wrapper(embeddings, labels, generator=torch.Generator().manual_seed(seed)).item()

    assert drawn(1) == drawn(1)
    assert len({drawn(seed) for seed in range(5)}) == 5
    state = torch.get_rng_state()
    drawn(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_global_generator_serves_by_default():
    embeddings, labels = batch()
    wrapper = ProxySynthesis(WORK["ProxyAnchorLoss"](C))
    torch.default_generator.manual_seed(3)
    first = wrapper(embeddings, labels)
    torch.default_generator.manual_seed(3)
    assert torch.equal(wrapper(embeddings, labels), first)


def test_half_of_the_pairs_are_the_first_of_all():
    labels = torch.arange(8) % 4
    loss = WORK["ProxyNCALoss"](C)
    calls = record_calls(loss)
    embeddings = torch.randn(8, D)
    ProxySynthesis(loss, ratio=0.5)(embeddings, labels, generator=torch.Generator().manual_seed(4), mixing=1.0)
    start, _ = different_class_pairs(labels, torch.Generator().manual_seed(4))
    torch.testing.assert_close(calls[0][0][8:], embeddings[start[:4]])
