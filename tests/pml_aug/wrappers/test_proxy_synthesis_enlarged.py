"""Proxy Synthesis is the wrapped loss on an enlarged batch and enlarged proxies, however it is worked out."""

import pytest
import torch
from proxy_synthesis_cases import CENTERS, WORK, C, Cosine, D, batch, proxies_of, record_calls, value_and_gradients
from pytorch_metric_learning import distances, losses, regularizers
from torch.nn.functional import normalize, one_hot

from pml_aug.synthesis import mix, order_without_equal_neighbors
from pml_aug.wrappers import ProxySynthesis


@pytest.mark.parametrize("mixing", [0.3, 1.0])
@pytest.mark.parametrize("pairing", ["roll", "reordered_roll"])
@pytest.mark.parametrize("name", WORK)
def test_it_is_the_wrapped_loss_on_enlarged_batch_and_proxies(name, pairing, mixing):
    embeddings, labels = batch(dtype=torch.float64)
    labels[1] = labels[0]
    loss = WORK[name](C).double()
    if name == "P2SGradLoss":  # brings its proxies to unit length in place, so start there
        loss.weight.data = normalize(loss.weight.data, dim=0)
    proxies = proxies_of(loss).detach().clone().unflatten(0, (C, sum(CENTERS.get(name, {"": 1}).values())))
    value = ProxySynthesis(loss, ratio=0.75, pairing=pairing)(embeddings, labels, mixing=mixing)

    order = order_without_equal_neighbors(labels) if pairing == "reordered_roll" else torch.arange(8)
    start, end = order[:6], order.roll(1)[:6]
    enlarged = WORK[name](C + 6).double()
    mixtures = mix(proxies[labels[start]], proxies[labels[end]], mixing)
    mixtures = normalize(mixtures, dim=2) if name == "P2SGradLoss" else mixtures
    proxies_of(enlarged).data.copy_(torch.cat([proxies, mixtures]).flatten(0, 1))
    all_embeddings = torch.cat([embeddings, mix(embeddings[start], embeddings[end], mixing)])
    expected = enlarged(all_embeddings, torch.cat([labels, torch.arange(C, C + 6)]))
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=0)


def test_with_mixing_1_each_synthetic_class_is_its_first_end():
    embeddings, labels = batch()
    loss = WORK["ProxyNCALoss"](C)
    calls = record_calls(loss)
    ProxySynthesis(loss, pairing="roll")(embeddings, labels, mixing=1.0)
    ((all_embeddings, _, all_proxies),) = calls
    torch.testing.assert_close(all_embeddings[8:], embeddings)
    torch.testing.assert_close(all_proxies[C:], loss.proxies[labels].detach())


def test_proxies_that_their_loss_keeps_at_unit_length_are_kept_there_and_mixed_there():
    embeddings, labels = batch(dtype=torch.float64)
    loss = WORK["P2SGradLoss"](C).double()
    loss.weight.data *= torch.linspace(0.1, 2, C)
    mine = value_and_gradients(ProxySynthesis(loss, pairing="roll"), embeddings, labels, mixing=0.3)
    torch.testing.assert_close(loss.weight.norm(dim=0), torch.ones(C).double(), rtol=1e-5, atol=0)

    rows, proxies = embeddings.requires_grad_(), loss.weight.detach().clone().requires_grad_()
    other = labels.roll(1)
    unit = normalize(proxies, dim=0)
    mixed = normalize(0.3 * unit[:, labels] + 0.7 * unit[:, other], dim=0)
    all_rows = normalize(torch.cat([rows, mix(rows, rows.roll(1, dims=0), 0.3)]))
    target = one_hot(torch.cat([labels, torch.arange(C, C + 8)]), C + 8).double()
    expected = (all_rows @ torch.cat([proxies, mixed], dim=1) - target).square().mean()
    expected_all = [expected.detach(), *torch.autograd.grad(expected, [rows, proxies])]
    for ours, theirs in zip(mine, expected_all, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)  # `renorm` misses unit length by 1e-7


COSINE_LOSSES = sorted(set(WORK) - {"LargeMarginSoftmaxLoss", "P2SGradLoss", "ProxyNCALoss", "SphereFaceLoss"})


@pytest.mark.parametrize("mixing", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("name", COSINE_LOSSES)
def test_from_cosines_it_is_what_it_is_from_the_mixtures(name, mixing):
    embeddings, labels = batch(dtype=torch.float64)
    of_cosines, of_mixtures = (WORK[name](C, distance=kind()).double() for kind in (distances.CosineSimilarity, Cosine))
    of_mixtures.load_state_dict(of_cosines.state_dict())
    from_both = (
        value_and_gradients(ProxySynthesis(loss, pairing="roll"), embeddings, labels, mixing=mixing)
        for loss in (of_cosines, of_mixtures)
    )
    for mine, theirs in zip(*from_both, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


def test_directions_that_cancel_leave_no_infinity():
    embeddings = torch.tensor([[1.0, 0.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0]])
    loss = losses.NormalizedSoftmaxLoss(2, D)
    loss.W.data[:, 1] = -loss.W.data[:, 0]
    results = value_and_gradients(ProxySynthesis(loss), embeddings, torch.tensor([0, 1]), mixing=0.5)
    assert all(torch.isfinite(result).all() for result in results)


@pytest.mark.parametrize(
    "change",
    [
        {"distance": distances.CosineSimilarity()},  # with a matrix computed beforehand
        {"distance": distances.CosineSimilarity(power=2)},
        {"distance": distances.DotProductSimilarity(normalize_embeddings=False)},
        {"distance": distances.CosineSimilarity(p=1)},
        {"distance": distances.CosineSimilarity(collect_stats=True)},
        {"distance": distances.LpDistance()},
        {"weight_regularizer": regularizers.LpRegularizer()},
    ],
)
def test_the_loss_gets_real_rows_and_proxies(change):
    loss = losses.NormalizedSoftmaxLoss(C, D, **change)
    calls, (embeddings, labels) = record_calls(loss), batch()
    ProxySynthesis(loss, pairing="roll")(embeddings, labels, mixing=0.3)
    ((rows, _, proxies),) = calls
    own, other = proxies_of(loss), labels.roll(1)
    torch.testing.assert_close(rows, torch.cat([embeddings, mix(embeddings, embeddings.roll(1, dims=0), 0.3)]))
    torch.testing.assert_close(proxies, torch.cat([own, mix(own[labels], own[other], 0.3)]))


@pytest.mark.parametrize(("ratio", "size", "expected"), [(1.0, 8, 8), (0.5, 7, 3), (0.75, 10, 7), (0.58, 200, 116)])
@pytest.mark.parametrize("pairing", ["roll", "different_class", "reordered_roll"])
def test_rows_and_proxies_get_the_same_number_of_mixtures(pairing, ratio, size, expected):
    embeddings, labels = batch(size=size)
    loss = WORK["NormalizedSoftmaxLoss"](C)
    calls = record_calls(loss)
    wrapper = ProxySynthesis(loss, ratio=ratio, pairing=pairing)
    wrapper.collect_stats = True
    wrapper(embeddings, labels)
    ((all_embeddings, all_labels, all_proxies),) = calls
    assert len(all_embeddings) == len(all_labels) == size + expected
    assert len(all_proxies) == C + expected
    assert all_labels[size:].tolist() == list(range(C, C + expected))
    assert wrapper.num_synthetic == expected
