"""Mixtures without classes of their own: the control for Proxy Synthesis."""

import math

import pytest
import torch
from proxy_synthesis_cases import WORK, C, D, batch, record_calls, value_and_gradients
from pytorch_metric_learning import losses, reducers, regularizers
from torch.nn.functional import normalize

from pml_aug.distances import IntrospectiveSimilarity
from pml_aug.synthesis import Pairs, different_class_pairs, mix
from pml_aug.wrappers import EmbeddingExpansion, IntraClassAdaptiveAugmentation, ProxySynthesis


def mixtures(loss, **options):
    return ProxySynthesis(loss, synthetic_proxies=False, **options)


def test_half_way_between_two_classes():
    loss = losses.NormalizedSoftmaxLoss(2, 2, temperature=1.0)
    loss.W.data = torch.eye(2)
    value = mixtures(loss, pairing="roll")(torch.eye(2), torch.tensor([0, 1]), mixing=0.5)
    original = math.log(math.e + 1) - 1
    mixture = math.log(2)  # as near to one proxy as to the other
    torch.testing.assert_close(value, torch.tensor((original + mixture) / 2))


def test_a_softmax_gets_both_classes_as_soft_targets():
    loss, (rows, labels) = losses.NormalizedSoftmaxLoss(C, D).double(), batch(dtype=torch.float64)
    value = mixtures(loss, pairing="roll")(rows, labels, mixing=0.3)
    mixed = mix(rows, rows.roll(1, 0), 0.3)
    targets = torch.eye(C, dtype=torch.float64)[labels]
    targets = torch.cat([targets, 0.3 * targets + 0.7 * targets.roll(1, 0)])
    logits = normalize(torch.cat([rows, mixed])) @ normalize(loss.W, dim=0) / loss.temperature
    torch.testing.assert_close(value, torch.nn.functional.cross_entropy(logits, targets))


@pytest.mark.parametrize("name", WORK)
def test_no_loss_gets_a_class_that_it_does_not_have(name):
    loss, (rows, labels) = WORK[name](C), batch()
    calls = record_calls(loss)
    before = [parameter.shape for parameter in loss.parameters()]
    wrapper = mixtures(loss)
    results = value_and_gradients(wrapper, rows, labels, generator=torch.Generator().manual_seed(0))
    assert all(torch.isfinite(result).all() for result in results)
    assert wrapper.num_synthetic == len(rows) and len(calls) == 2
    for embeddings, targets, _ in calls:
        assert embeddings.shape == (2 * len(rows), D)
        assert torch.equal(targets[: len(rows)], labels) and int(targets.max()) < C
    assert [parameter.shape for parameter in loss.parameters()] == before
    assert torch.equal(calls[0][0], calls[1][0])


def test_the_mixtures_and_their_draws_are_those_of_the_method():
    rows, labels = batch()
    seen = []
    for synthetic_proxies in (True, False):
        loss = losses.ProxyNCALoss(C, D)
        calls = record_calls(loss)
        wrapper = ProxySynthesis(loss, synthetic_proxies=synthetic_proxies)
        wrapper(rows, labels, generator=torch.Generator().manual_seed(4))
        seen.append((wrapper.mixing, calls[0][0]))
    assert seen[0][0] == seen[1][0]
    torch.testing.assert_close(seen[0][1], seen[1][1])


@pytest.mark.parametrize("name", ["ProxyAnchorLoss", "SoftTripleLoss", "NormalizedSoftmaxLoss"])
@pytest.mark.parametrize(("mixing", "end"), [(1.0, "start"), (0.0, "end")])
def test_unmixed_it_is_the_loss_with_every_row_twice_to_the_last_bit(name, mixing, end):
    loss, (rows, labels) = WORK[name](C), batch()
    wrapper = mixtures(loss, pairing="roll")
    value = wrapper(rows, labels, mixing=mixing)
    pairs = Pairs(torch.arange(len(rows)), torch.arange(len(rows)).roll(1))
    ends = getattr(pairs, end)
    # a row at its own length, up to rounding: the same as the wrapper's mixture
    mixed = mix(rows[pairs.start], rows[pairs.end], mixing)
    torch.testing.assert_close(mixed, rows[ends])
    assert value == loss(torch.cat([rows, mixed]), torch.cat([labels, labels[ends]]))


def test_without_mixtures_it_is_the_baseline_loss_to_the_last_bit():
    loss, (rows, labels) = losses.ProxyAnchorLoss(C, D), batch()
    for wrapper, classes in ((mixtures(loss, ratio=0.0), labels), (mixtures(loss), torch.zeros_like(labels))):
        actual = value_and_gradients(wrapper, rows, classes)
        assert all(torch.equal(*both) for both in zip(actual, value_and_gradients(loss, rows, classes), strict=True))
        assert wrapper.num_synthetic == 0


@pytest.mark.parametrize("name", ["ProxyAnchorLoss", "NormalizedSoftmaxLoss"])
def test_gradient_reaches_rows_and_proxies(name):
    loss, (rows, labels) = WORK[name](C).double(), batch(dtype=torch.float64)
    wrapper = mixtures(loss, pairing="roll")
    assert torch.autograd.gradcheck(lambda rows: wrapper(rows, labels, mixing=0.4), rows.requires_grad_())
    wrapper(rows, labels, mixing=0.4).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in loss.parameters())


def test_regularizers_see_the_batch_and_the_proxies_once():
    rows, labels = batch()
    options = {
        "embedding_regularizer": regularizers.LpRegularizer(),
        "weight_regularizer": regularizers.LpRegularizer(),
    }
    plain, regularized = (losses.ProxyAnchorLoss(C, D, **given) for given in ({}, options))
    regularized.load_state_dict(plain.state_dict())
    draws = {"mixing": 0.3, "generator": torch.Generator().manual_seed(0)}
    again = {"mixing": 0.3, "generator": torch.Generator().manual_seed(0)}
    added = mixtures(regularized)(rows, labels, **draws) - mixtures(plain)(rows, labels, **again)
    expected = options["embedding_regularizer"](rows) + options["weight_regularizer"](plain.proxies)
    torch.testing.assert_close(added, expected, rtol=1e-4, atol=1e-5)


def test_uncertainties_are_mixed_too():
    loss = losses.ProxyAnchorLoss(C, D, distance=IntrospectiveSimilarity(D))
    calls = record_calls(loss)
    rows, labels = torch.rand(4, 2 * D), torch.arange(4)
    mixtures(loss, pairing="roll")(rows, labels, mixing=0.25)
    torch.testing.assert_close(calls[0][0][4:, D:], (0.25 * rows + 0.75 * rows.roll(1, 0))[:, D:])


def test_copies_around_it_are_mixed_too():
    inner = mixtures(losses.ProxyAnchorLoss(C, D))
    wrapper = IntraClassAdaptiveAugmentation(inner, C, D)
    wrapper.refresh(torch.randn(40, D), torch.arange(40) % C)
    rows, labels = batch()
    assert torch.isfinite(wrapper(rows, labels)) and inner.num_synthetic == 4 * len(rows)


def test_what_it_cannot_do_is_refused_with_the_remedy():
    rows, labels = batch()
    with pytest.raises(ValueError, match="synthetic_proxies=True"):
        EmbeddingExpansion(mixtures(losses.ProxyAnchorLoss(C, D)))
    with pytest.raises(ValueError, match="DoNothingReducer returns none: use another reducer"):
        mixtures(losses.ProxyAnchorLoss(C, D, reducer=reducers.DoNothingReducer()))(rows, labels)
    with pytest.raises(TypeError, match="synthetic_proxies"):
        ProxySynthesis(losses.ProxyAnchorLoss(C, D), synthetic_proxies="no")


def test_pairs_are_of_different_classes():
    labels = torch.arange(8) % 4
    pairs = different_class_pairs(labels, torch.Generator().manual_seed(0))
    loss = losses.ProxyNCALoss(C, D)
    calls = record_calls(loss)
    mixtures(loss)(torch.randn(8, D), labels, generator=torch.Generator().manual_seed(0))
    assert torch.equal(calls[0][1][8:], labels[pairs.start]) and torch.equal(calls[1][1][8:], labels[pairs.end])
    assert (calls[0][1][8:] != calls[1][1][8:]).all()
