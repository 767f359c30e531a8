"""Proxy Synthesis: recorded numbers, hand-made cases, limits, refusals, what keeps working."""

import copy
import math
from functools import partial

import pytest
import torch
from pytorch_metric_learning import distances, losses, reducers, regularizers
from torch.nn.functional import normalize

from benchmarks.cost.counting import count
from pml_aug.synthesis import different_class_pairs, draw_mixing, mix, order_without_equal_neighbors
from pml_aug.wrappers import EmbeddingExpansion, ProxySynthesis
from pml_aug.wrappers.proxies import reads_cosines_only

RECORDED = [f"ps_{number:02d}" for number in range(10)]
C, D = 6, 4

# every loss of the host library that has proxies of its classes, by the number of classes
WORK = {
    "ArcFaceLoss": lambda c, **options: losses.ArcFaceLoss(c, D, **options),
    "CosFaceLoss": lambda c, **options: losses.CosFaceLoss(c, D, **options),
    "LargeMarginSoftmaxLoss": lambda c, **options: losses.LargeMarginSoftmaxLoss(c, D, **options),
    "NormalizedSoftmaxLoss": lambda c, **options: losses.NormalizedSoftmaxLoss(c, D, **options),
    "P2SGradLoss": lambda c, **options: losses.P2SGradLoss(D, c, **options),
    "ProxyAnchorLoss": lambda c, **options: losses.ProxyAnchorLoss(c, D, **options),
    "ProxyNCALoss": lambda c, **options: losses.ProxyNCALoss(c, D, **options),
    "SoftTripleLoss": lambda c, **options: losses.SoftTripleLoss(c, D, centers_per_class=3, **options),
    "SphereFaceLoss": lambda c, **options: losses.SphereFaceLoss(c, D, **options),
    "SubCenterArcFaceLoss": lambda c, **options: losses.SubCenterArcFaceLoss(
        num_classes=c, embedding_size=D, sub_centers=2, **options
    ),
}
CENTERS = {"SoftTripleLoss": 3, "SubCenterArcFaceLoss": 2}


def relative_error(actual, expected):
    return float((actual.detach() - expected).abs().max() / expected.abs().max())


def batch(dtype=torch.float32, size=8):
    return torch.randn(size, D, dtype=dtype), torch.arange(size) % 4


def value_and_gradients(loss, embeddings, labels, **draws):
    loss.zero_grad()
    embeddings = embeddings.clone().requires_grad_()
    value = loss(embeddings, labels, **draws)
    value.backward()
    return [value.detach(), embeddings.grad, *(parameter.grad for parameter in loss.parameters())]


def proxies_of(loss):
    """The proxies one below the other; PML stores those of most losses as columns."""
    return loss.proxies if hasattr(loss, "proxies") else next(iter(loss._parameters.values())).T


def record_calls(loss):
    """What `compute_loss` of `loss` is given from now on: embeddings, labels, proxies."""
    calls, compute_loss = [], loss.compute_loss

    def recording(embeddings, labels, *rest):
        calls.append((embeddings.detach(), labels, proxies_of(loss).detach()))
        return compute_loss(embeddings, labels, *rest)

    loss.compute_loss = recording
    return calls


# ---- recorded numbers


class Cosine(distances.CosineSimilarity):
    """A cosine by another name: what it does with rows is not known, so it is shown the mixtures themselves."""


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
    if meta["ps_mu"] and not reads_cosines_only(loss):
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


# ---- the enlarged loss, made by hand


@pytest.mark.parametrize("mixing", [0.3, 1.0])
@pytest.mark.parametrize("pairing", ["roll", "reordered_roll"])
@pytest.mark.parametrize("name", WORK)
def test_it_is_the_wrapped_loss_on_enlarged_batch_and_proxies(name, pairing, mixing):
    embeddings, labels = batch(torch.float64)
    labels[1] = labels[0]
    loss = WORK[name](C).double()
    if name == "P2SGradLoss":  # brings its proxies to unit length in place, so start there
        loss.weight.data = normalize(loss.weight.data, dim=0)
    proxies = proxies_of(loss).detach().clone().unflatten(0, (C, CENTERS.get(name, 1)))
    value = ProxySynthesis(loss, ratio=0.75, pairing=pairing)(embeddings, labels, mixing=mixing)

    order = order_without_equal_neighbors(labels) if pairing == "reordered_roll" else torch.arange(8)
    start, end = order[:6], order.roll(1)[:6]
    enlarged = WORK[name](C + 6).double()
    proxies_of(enlarged).data.copy_(
        torch.cat([proxies, mix(proxies[labels[start]], proxies[labels[end]], mixing)]).flatten(0, 1)
    )
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


COSINE_LOSSES = sorted(set(WORK) - {"LargeMarginSoftmaxLoss", "P2SGradLoss", "ProxyNCALoss", "SphereFaceLoss"})


@pytest.mark.parametrize("mixing", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("name", COSINE_LOSSES)
def test_from_cosines_it_is_what_it_is_from_the_mixtures(name, mixing):
    embeddings, labels = batch(torch.float64)
    of_cosines, of_mixtures = (WORK[name](C, distance=kind()).double() for kind in (distances.CosineSimilarity, Cosine))
    of_mixtures.load_state_dict(of_cosines.state_dict())
    assert [reads_cosines_only(loss) for loss in (of_cosines, of_mixtures)] == [True, False]
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
        {"distance": distances.CosineSimilarity(power=2)},
        {"distance": distances.DotProductSimilarity(normalize_embeddings=False)},
        {"distance": distances.CosineSimilarity(p=1)},
        {"distance": distances.CosineSimilarity(collect_stats=True)},
        {"distance": distances.LpDistance()},
        {"weight_regularizer": regularizers.LpRegularizer()},
    ],
)
def test_mixtures_are_made_where_cosines_do_not_tell_all(change):
    loss = losses.NormalizedSoftmaxLoss(C, D, **change)
    assert not reads_cosines_only(loss)
    calls = record_calls(loss)
    ProxySynthesis(loss)(*batch())
    ((_, _, proxies),) = calls
    assert proxies.shape == (C + 8, D)


# ---- limits


@pytest.mark.parametrize("name", WORK)
def test_ratio_0_gives_the_bare_loss_to_the_last_bit(name):
    embeddings, labels = batch()
    loss = WORK[name](C)
    wrapped = value_and_gradients(ProxySynthesis(copy.deepcopy(loss), ratio=0.0), embeddings, labels)
    bare = value_and_gradients(loss, embeddings, labels)
    assert len(bare) == 3
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(wrapped, bare, strict=True))


@pytest.mark.parametrize("labels", [[2, 2, 2], [5]], ids=["one class", "one row"])
def test_without_a_partner_of_another_class_it_is_the_bare_loss(labels):
    embeddings, labels = torch.randn(len(labels), D), torch.tensor(labels)
    loss = WORK["ProxyAnchorLoss"](C)
    wrapper = ProxySynthesis(loss)
    assert torch.equal(wrapper(embeddings, labels), loss(embeddings, labels))
    assert wrapper.num_synthetic == 0


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


@pytest.mark.parametrize("name", sorted(set(WORK) - {"LargeMarginSoftmaxLoss", "SphereFaceLoss", "P2SGradLoss"}))
def test_gradient_is_the_derivative_of_the_value(name):
    embeddings, labels = batch(torch.float64, size=5)
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
    torch.manual_seed(3)
    first = wrapper(embeddings, labels)
    torch.manual_seed(3)
    assert torch.equal(wrapper(embeddings, labels), first)


def test_half_of_the_pairs_are_the_first_of_all():
    labels = torch.arange(8) % 4
    loss = WORK["ProxyNCALoss"](C)
    calls = record_calls(loss)
    embeddings = torch.randn(8, D)
    ProxySynthesis(loss, ratio=0.5)(embeddings, labels, generator=torch.Generator().manual_seed(4), mixing=1.0)
    start, _ = different_class_pairs(labels, torch.Generator().manual_seed(4))
    torch.testing.assert_close(calls[0][0][8:], embeddings[start[:4]])


# ---- what keeps working


class Remembers(regularizers.LpRegularizer):
    def forward(self, rows):
        self.rows = rows.detach()
        return super().forward(rows)


@pytest.mark.parametrize("name", sorted(set(WORK) - {"P2SGradLoss"}))
def test_regularizers_see_the_original_rows_only(name):
    embeddings, labels = batch()
    of_rows, of_proxies = Remembers(), Remembers()
    loss = WORK[name](C, embedding_regularizer=of_rows, weight_regularizer=of_proxies)
    ProxySynthesis(loss)(embeddings, labels)
    assert torch.equal(of_rows.rows, embeddings)
    assert torch.equal(of_proxies.rows, proxies_of(loss))
    assert loss.embedding_regularizer is of_rows and loss.weight_regularizer is of_proxies


def test_sparse_centers_of_soft_triple_keep_their_regularizer():
    regularizer = regularizers.SparseCentersRegularizer(num_classes=C, centers_per_class=3)
    plain, regularized = WORK["SoftTripleLoss"](C), WORK["SoftTripleLoss"](C, weight_regularizer=regularizer)
    regularized.fc.data = plain.fc.data.clone()
    embeddings, labels = batch()
    values = [ProxySynthesis(loss, pairing="roll")(embeddings, labels, mixing=0.4) for loss in (plain, regularized)]
    torch.testing.assert_close(values[1] - values[0], regularizer(plain.fc.T))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("ratio", [0.0, 1.0])
@pytest.mark.parametrize("name", WORK)
def test_half_precision_leaves_the_proxies_in_float32(name, ratio, dtype):
    embeddings, labels = batch()
    loss = WORK[name](C)
    wrapper = ProxySynthesis(loss, ratio=ratio, pairing="roll")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = wrapper(embeddings.to(dtype), labels, mixing=0.4)
    assert value.dtype == next(loss.parameters()).dtype == torch.float32
    assert torch.equal(value, wrapper(embeddings.to(dtype).float(), labels, mixing=0.4))


@pytest.mark.parametrize("name", WORK)
def test_a_step_moves_the_loss_s_own_proxies(name):
    embeddings, labels = batch()
    loss = WORK[name](C)
    parameter = next(loss.parameters())
    before = parameter.detach().clone()
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    ProxySynthesis(loss)(embeddings, labels).backward()
    optimizer.step()
    assert next(loss.parameters()) is parameter
    assert parameter.shape == before.shape and not torch.equal(parameter, before)


@pytest.mark.parametrize(
    "reducer", [reducers.MeanReducer(), reducers.SumReducer(), reducers.ThresholdReducer(low=0.1)], ids=str
)
def test_the_loss_s_reducer_reduces(reducer):
    embeddings, labels = batch()
    loss = WORK["NormalizedSoftmaxLoss"](C, reducer=reducers.DoNothingReducer())
    wrapper = ProxySynthesis(loss, pairing="roll")
    each = wrapper(embeddings, labels, mixing=0.2)["loss"]["losses"]
    assert len(each) == 16
    loss.reducer = reducer
    expected = reducer({"loss": {"losses": each, "indices": torch.arange(16), "reduction_type": "element"}}, None, None)
    torch.testing.assert_close(wrapper(embeddings, labels, mixing=0.2), expected)


@pytest.mark.parametrize("labels_there", [False, True])
@pytest.mark.parametrize("name", sorted(set(WORK) - {"P2SGradLoss"}))  # rewrites `data`, which `count` does not follow
def test_it_adds_no_host_wait(name, labels_there):
    embeddings, labels = batch()

    def step(device, wrapped):
        loss = WORK[name](C).to(device)
        loss = ProxySynthesis(loss) if wrapped else loss
        rows, classes = embeddings.to(device), labels.to(device if labels_there else "cpu")
        return lambda: value_and_gradients(loss, rows, classes)

    plain, augmented = (count(partial(step, wrapped=wrapped)) for wrapped in (False, True))
    assert augmented.waits <= plain.waits


# ---- refusals


class Breaks(losses.ProxyNCALoss):
    def compute_loss(self, *args):
        raise RuntimeError("broken")


def test_an_error_from_inside_leaves_the_loss_as_it_was():
    regularizer = regularizers.LpRegularizer()
    loss = Breaks(C, D, embedding_regularizer=regularizer)
    parameter, proxy_labels = loss.proxies, loss.proxy_labels
    with pytest.raises(RuntimeError, match="broken"):
        ProxySynthesis(loss)(*batch())
    assert loss.proxies is parameter and loss.proxy_labels is proxy_labels
    assert loss.embedding_regularizer is regularizer


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0}, "alpha must be above 0, but got 0"),
        ({"alpha": float("nan")}, "alpha must be above 0, but got nan"),
        ({"ratio": -0.1}, "ratio must be between 0 and 1, but got -0.1"),
        ({"ratio": 1.5}, "ratio must be between 0 and 1, but got 1.5"),
        ({"pairing": "adjacent"}, r"`pairing` to be one of \('different_class', 'roll', 'reordered_roll'\)"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ProxySynthesis(losses.ProxyNCALoss(C, D), **arguments)


def test_class_weights_are_refused():
    loss = losses.ProxyNCALoss(C, D, reducer=reducers.ClassWeightedReducer(torch.ones(C)))
    with pytest.raises(ValueError, match="cannot wrap ProxyNCALoss with a ClassWeightedReducer: synthetic classes"):
        ProxySynthesis(loss)


def test_mined_tuples_are_refused():
    indices_tuple = tuple(torch.tensor([row]) for row in (0, 4, 1))
    with pytest.raises(ValueError, match="takes no `indices_tuple`: .* leave the miner out"):
        ProxySynthesis(losses.ProxyNCALoss(C, D))(*batch(), indices_tuple)


def test_references_are_refused():
    with pytest.raises(ValueError, match="takes no `ref_emb`: its loss compares embeddings with proxies"):
        ProxySynthesis(losses.ProxyNCALoss(C, D))(*batch(), None, *batch())


@pytest.mark.parametrize("labels", [[0, 1, 6], [-1, 0, 1]])
def test_labels_beyond_the_classes_are_refused(labels):
    with pytest.raises(ValueError, match=r"labels must be in 0 \.\. 5, the classes of ProxyNCALoss, but got"):
        ProxySynthesis(losses.ProxyNCALoss(C, D))(torch.randn(3, D), torch.tensor(labels))


REFUSED = {
    "AngularLoss": lambda: losses.AngularLoss(),
    "CircleLoss": lambda: losses.CircleLoss(),
    "ContrastiveLoss": lambda: losses.ContrastiveLoss(),
    "DynamicSoftMarginLoss": lambda: losses.DynamicSoftMarginLoss(),
    "FastAPLoss": lambda: losses.FastAPLoss(),
    "GeneralizedLiftedStructureLoss": lambda: losses.GeneralizedLiftedStructureLoss(),
    "HistogramLoss": lambda: losses.HistogramLoss(),
    "InstanceLoss": lambda: losses.InstanceLoss(),
    "IntraPairVarianceLoss": lambda: losses.IntraPairVarianceLoss(),
    "LiftedStructureLoss": lambda: losses.LiftedStructureLoss(),
    "MarginLoss": lambda: losses.MarginLoss(),
    "MultiSimilarityLoss": lambda: losses.MultiSimilarityLoss(),
    "NCALoss": lambda: losses.NCALoss(),
    "NPairsLoss": lambda: losses.NPairsLoss(),
    "NTXentLoss": lambda: losses.NTXentLoss(),
    "PNPLoss": lambda: losses.PNPLoss(),
    "RankedListLoss": lambda: losses.RankedListLoss(margin=0.4, Tn=10),
    "SignalToNoiseRatioContrastiveLoss": lambda: losses.SignalToNoiseRatioContrastiveLoss(),
    "SmoothAPLoss": lambda: losses.SmoothAPLoss(),
    "SupConLoss": lambda: losses.SupConLoss(),
    "ThresholdConsistentMarginLoss": lambda: losses.ThresholdConsistentMarginLoss(),
    "TripletMarginLoss": lambda: losses.TripletMarginLoss(),
    "TupletMarginLoss": lambda: losses.TupletMarginLoss(),
    "VICRegLoss": lambda: losses.VICRegLoss(),
}
NO_LOSSES = {
    "CrossBatchMemory": lambda: losses.CrossBatchMemory(losses.ContrastiveLoss(), embedding_size=D),
    "MultipleLosses": lambda: losses.MultipleLosses([losses.ContrastiveLoss()]),
    "SelfSupervisedLoss": lambda: losses.SelfSupervisedLoss(losses.ContrastiveLoss()),
}
ABSTRACT = {"BaseLossWrapper", "BaseMetricLossFunction", "EmbeddingRegularizerMixin", "GenericPairLoss"}
ABSTRACT |= {"WeightRegularizerMixin"}


def test_every_loss_of_the_host_library_has_its_verdict():
    known = {name for name, kind in vars(losses).items() if isinstance(kind, type)}
    assert known == {*REFUSED, "ManifoldLoss", *NO_LOSSES, *WORK, *ABSTRACT}


@pytest.mark.parametrize("name", REFUSED)
def test_a_loss_without_proxies_is_refused_by_name(name):
    with pytest.raises(ValueError, match=f"cannot wrap {name}: it has no proxies of its classes .*EmbeddingExpansion"):
        ProxySynthesis(REFUSED[name]())


def test_proxies_of_no_class_are_refused():
    with pytest.raises(ValueError, match="cannot wrap ManifoldLoss: its proxies belong to no class"):
        ProxySynthesis(losses.ManifoldLoss(l=D))


@pytest.mark.parametrize("name", NO_LOSSES)
def test_what_holds_losses_goes_around_the_wrapper(name):
    with pytest.raises(TypeError, match=f"to be a BaseMetricLossFunction .* but got {name}; wrap the loss itself"):
        ProxySynthesis(NO_LOSSES[name]())


@pytest.mark.parametrize("make", [distances.LpDistance, lambda: None, lambda: losses.ProxyNCALoss])
def test_what_is_no_loss_is_refused(make):
    with pytest.raises(TypeError, match="argument `loss` to be a BaseMetricLossFunction"):
        ProxySynthesis(make())


def test_another_wrapper_inside_is_refused():
    with pytest.raises(ValueError, match="cannot wrap EmbeddingExpansion: the proxies must be"):
        ProxySynthesis(EmbeddingExpansion(losses.TripletMarginLoss()))
