"""Spherical Embedding Expansion: recorded numbers, hand-made cases, limits, selection and refusals."""

import copy
import re

import pytest
import torch
from batches import random_batch
from host_losses import accepted_by, make_loss, refused_by
from measuring import relative_error
from proxy_synthesis_cases import record_calls, value_and_gradients
from pytorch_metric_learning import distances, losses, reducers, regularizers
from torch.nn.functional import normalize

from pml_aug.distances import IntrospectiveSimilarity
from pml_aug.synthesis import points_of_equal_cosine
from pml_aug.wrappers import EmbeddingExpansion, SphericalEmbeddingExpansion

RECORDED = [f"see_{number:02d}" for number in (0, 1, 2, 3, 4, 5, 6, 14)]
C, D = 4, 10


def proxy_anchor(num_classes=C, embedding_size=D, **options):
    return losses.ProxyAnchorLoss(num_classes, embedding_size, **options)


def batch(size=10, **options):
    return random_batch(size=size, num_classes=C, width=D, **options)


# ---- recorded numbers


@pytest.mark.parametrize("name", RECORDED)
def test_around_proxy_anchor_it_is_the_recorded_loss(golden, name):
    file = golden(name)
    meta, width = file.meta, file.embeddings.shape[1]
    loss = proxy_anchor(meta["n_classes"], width, margin=meta["margin"], alpha=meta["alpha"]).double()
    loss.proxies.data.copy_(file.proxies)
    select = {0: {"select": "cosine", "min_cosine": meta["threshold"]}, 1: {"fraction": meta["threshold"]}}
    calls = record_calls(loss)
    wrapper = SphericalEmbeddingExpansion(loss, meta["n_expansion"], meta["aug_weight"], **select[meta["type"]])
    directions = file.random_directions[:, :-1]  # the last one has no effect
    value, gradient, proxy_gradient = value_and_gradients(wrapper, file.embeddings, file.labels, directions=directions)
    # the official normalisation adds 1e-12 below the root
    assert relative_error(value, file.loss) < 1e-10
    assert relative_error(gradient, file.grad_embeddings) < 1e-10
    assert relative_error(proxy_gradient, file.grad_proxies) < 1e-10
    assert wrapper.num_synthetic == len(file.synthetic_labels)
    if wrapper.num_synthetic:
        points, labels, _ = calls[0]
        assert relative_error(normalize(points), file.synthetic_embeddings) < 1e-10
        assert torch.equal(labels, file.synthetic_labels)


# ---- by hand, in two dimensions


def test_one_point_is_the_mirror_image_behind_the_proxy():
    loss = losses.NormalizedSoftmaxLoss(2, 2, temperature=1.0)
    loss.W.data = torch.eye(2)
    calls = record_calls(loss)
    rows = torch.tensor([[3.0, 4.0], [0.8, 0.6]])
    SphericalEmbeddingExpansion(loss, num_points=1, fraction=1.0)(rows, torch.tensor([0, 1]))
    torch.testing.assert_close(calls[0][0], torch.tensor([[3.0, -4.0], [-0.8, 0.6]]))
    assert calls[0][1].tolist() == [0, 1]


# ---- limits

ACCEPTED = accepted_by("SphericalEmbeddingExpansion")


@pytest.mark.parametrize("options", [{"weight": 0.0}, {"fraction": 0.0}, {"select": "cosine", "min_cosine": 1.0}])
@pytest.mark.parametrize("name", ACCEPTED)
def test_without_points_it_is_the_baseline_loss_to_the_last_bit(name, options):
    loss = make_loss(name, C, D)
    wrapper = SphericalEmbeddingExpansion(copy.deepcopy(loss), **options)
    given = batch()
    wrapped, baseline = (value_and_gradients(each, *given) for each in (wrapper, loss))
    assert wrapper.num_synthetic == 0 and len(baseline) == 3
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(wrapped, baseline, strict=True))


@pytest.mark.parametrize("name", ACCEPTED)
def test_rows_get_the_gradient_of_the_baseline_loss_and_proxies_another_one(name):
    given, loss = batch(), make_loss(name, C, D)
    _, baseline, of_proxies = value_and_gradients(copy.deepcopy(loss), *given)
    _, gradient, changed = value_and_gradients(SphericalEmbeddingExpansion(loss), *given)
    assert torch.equal(gradient, baseline) and not torch.allclose(changed, of_proxies)


def test_gradient_of_the_proxies_is_the_derivative_of_the_value():
    loss = proxy_anchor().double()
    wrapper = SphericalEmbeddingExpansion(loss, num_points=3)
    rows, labels = batch(dtype=torch.float64)
    points = points_of_equal_cosine(rows[:4], loss.proxies[labels[:4]].detach(), torch.randn(4, 2, D).double())

    def value(proxies):  # with the points of the present proxies, which are constants in the method
        call = torch.func.functional_call
        of_points = call(loss, {"proxies": proxies}, (points.flatten(0, 1), labels[:4].repeat_interleave(3)))
        return call(loss, {"proxies": proxies}, (rows, labels)) + wrapper.weight * of_points

    proxies = loss.proxies.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(value, (proxies,))


# ---- what is selected


def test_the_rows_nearest_to_their_proxies_are_expanded():
    loss = proxy_anchor()
    rows, labels = batch(20)
    calls = record_calls(loss)
    wrapper = SphericalEmbeddingExpansion(loss, num_points=1, fraction=0.25)
    wrapper(rows, labels)
    cosine = torch.linalg.vecdot(normalize(rows), normalize(loss.proxies.detach()[labels]))
    nearest = cosine.argsort(descending=True)[:5].sort().values
    assert torch.equal(calls[0][1], labels[nearest])
    points = torch.linalg.vecdot(normalize(calls[0][0]), normalize(loss.proxies.detach()[labels[nearest]]))
    torch.testing.assert_close(points, cosine[nearest])


@pytest.mark.parametrize(("size", "fraction", "expected"), [(5, 0.5, 2), (7, 0.5, 4), (10, 0.04, 0), (3, 1.0, 3)])
def test_halves_are_rounded_to_even(size, fraction, expected):
    wrapper = SphericalEmbeddingExpansion(proxy_anchor(), num_points=1, fraction=fraction)
    wrapper(*batch(size))
    assert wrapper.num_synthetic == expected


def test_a_row_on_its_proxy_is_not_expanded():
    loss = proxy_anchor()
    rows, labels = batch(4)
    rows[2] = 3 * loss.proxies.detach()[labels[2]]
    calls = record_calls(loss)
    wrapper = SphericalEmbeddingExpansion(loss, num_points=2, fraction=1.0)
    wrapper(rows, labels)
    assert wrapper.num_synthetic == 6 and calls[0][1].tolist() == [0, 0, 1, 1, 3, 3]


def test_settings_assigned_between_calls_are_used_and_checked():
    wrapper = SphericalEmbeddingExpansion(proxy_anchor(), num_points=1)
    wrapper.fraction = 0.5
    wrapper(*batch())
    assert wrapper.num_synthetic == 5
    wrapper.fraction = 1.5
    with pytest.raises(ValueError, match="fraction must be between 0 and 1, but got 1.5"):
        wrapper(*batch())


# ---- the terms


def test_the_sum_is_that_of_two_calls():
    loss = proxy_anchor()
    calls = record_calls(loss)
    given = batch()
    value = SphericalEmbeddingExpansion(loss, weight=0.7)(*given)
    (points, labels, _), (rows, _, _) = calls
    assert torch.equal(rows, given[0])
    torch.testing.assert_close(value, loss(*given) + 0.7 * loss(points, labels))


def test_regularizers_count_once():
    options = {
        "embedding_regularizer": regularizers.LpRegularizer(),
        "weight_regularizer": regularizers.LpRegularizer(),
    }
    given, loss = batch(), proxy_anchor(**options)
    plain = copy.deepcopy(loss)
    plain.embedding_regularizer = plain.weight_regularizer = None
    values = []
    for each in (loss, plain):
        wrapper = SphericalEmbeddingExpansion(each)
        values.append(wrapper(*given, generator=torch.Generator().manual_seed(0)) - each(*given))
    torch.testing.assert_close(*values, rtol=1e-4, atol=1e-5)
    assert loss.embedding_regularizer is not None and loss.weight_regularizer is not None


def test_class_weights_apply_to_the_points_too():
    weights = torch.tensor([1.0, 0.0, 0.0, 0.0])
    loss = losses.NormalizedSoftmaxLoss(C, D, reducer=reducers.ClassWeightedReducer(weights))
    rows, labels = batch()
    wrapper = SphericalEmbeddingExpansion(loss, num_points=1, fraction=1.0)
    only = wrapper(rows, torch.ones_like(labels))
    assert only == 0 and wrapper(rows, labels) > 0


def test_points_of_introspective_rows_carry_the_uncertainty_of_their_row():
    loss = proxy_anchor(distance=IntrospectiveSimilarity(D))
    rows, labels = random_batch(size=10, num_classes=C, width=2 * D)
    calls = record_calls(loss)
    SphericalEmbeddingExpansion(loss, num_points=2, fraction=1.0)(rows, labels)
    assert torch.equal(calls[0][0][:, D:], rows[:, D:].repeat_interleave(2, dim=0))


# ---- the control


def test_points_of_the_control_are_the_selected_rows():
    loss = proxy_anchor()
    rows, labels = batch()
    calls = record_calls(loss)
    wrapper = SphericalEmbeddingExpansion(loss, num_points=3, fraction=1.0, points="row")
    wrapper(rows, labels)
    assert torch.equal(calls[0][0], rows.repeat_interleave(3, dim=0)) and wrapper.num_synthetic == 30


# ---- randomness


def test_the_generator_decides_the_points():
    wrapper, given = SphericalEmbeddingExpansion(proxy_anchor()), batch()

    def drawn(seed):
        return wrapper(*given, generator=torch.Generator().manual_seed(seed)).item()

    assert drawn(1) == drawn(1) and len({drawn(seed) for seed in range(5)}) == 5


# ---- refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_points": 0}, "num_points must be at least 1, but got 0"),
        ({"num_points": D}, f"num_points must be at most {D - 1} for embeddings of size {D}, but got {D}"),
        ({"weight": -1}, "weight must be at least 0, but got -1"),
        ({"fraction": 1.5}, "fraction must be between 0 and 1, but got 1.5"),
        ({"fraction": "all"}, "fraction must be a number"),
        ({"min_cosine": -2}, "min_cosine must be between -1 and 1, but got -2"),
        ({"select": "easiest"}, "select must be one of 'fraction', 'cosine', but got 'easiest'"),
        ({"points": "none"}, "points must be one of 'simplex', 'row', but got 'none'"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        SphericalEmbeddingExpansion(proxy_anchor(), **arguments)


@pytest.mark.parametrize(("name", "reason"), refused_by("SphericalEmbeddingExpansion").items())
def test_losses_without_one_proxy_per_class_are_refused_with_the_reason(name, reason):
    with pytest.raises(ValueError, match=f"cannot wrap {name}: {re.escape(reason[:20])}"):
        SphericalEmbeddingExpansion(make_loss(name, C, D))


def test_several_proxies_per_class_are_refused():
    with pytest.raises(ValueError, match="cannot wrap SoftTripleLoss: it has several proxies per class"):
        SphericalEmbeddingExpansion(losses.SoftTripleLoss(C, D))


def test_another_wrapper_inside_is_refused():
    with pytest.raises(ValueError, match="cannot wrap EmbeddingExpansion: of the wrappers"):
        SphericalEmbeddingExpansion(EmbeddingExpansion(proxy_anchor()))


def test_references_are_refused():
    with pytest.raises(ValueError, match="takes no `ref_emb`: its loss compares embeddings with proxies"):
        SphericalEmbeddingExpansion(proxy_anchor())(*batch(), None, *batch())


def test_directions_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"`directions` must be of shape \(4, 7, 10\).* but got \(3, 7, 10\)"):
        SphericalEmbeddingExpansion(proxy_anchor())(*batch(), directions=torch.zeros(3, 7, D))


def test_a_tuple_weights_the_batch_alone():
    loss, given = proxy_anchor(), batch()
    tuples = tuple(torch.tensor([0, 1]) for _ in range(3))
    wrapper = SphericalEmbeddingExpansion(loss)
    generator = torch.Generator()
    values = [wrapper(*given, each, generator=generator.manual_seed(0)) for each in (tuples, None)]
    torch.testing.assert_close(values[0] - values[1], loss(*given, tuples) - loss(*given), rtol=1e-4, atol=1e-5)


def test_a_distance_of_another_kind_is_used_unchanged():
    given, loss = batch(), losses.ProxyNCALoss(C, D, distance=distances.LpDistance(power=2))
    wrapper = SphericalEmbeddingExpansion(loss)
    assert wrapper(*given) > loss(*given) and isinstance(wrapper.distance, distances.LpDistance)
