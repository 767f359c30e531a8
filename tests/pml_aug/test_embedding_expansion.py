"""Embedding Expansion: recorded numbers, hand-made cases, limits, refusals, what keeps working."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning import distances, losses, miners, reducers, regularizers
from torch.func import functional_call
from torch.nn.functional import normalize

from pml_aug.distances import (
    DistanceToProxies,
    Expansion,
    IntrospectiveDistance,
    IntrospectiveSimilarity,
    PrecomputedDistance,
    pooled_matrix,
)
from pml_aug.losses import IntrospectiveSoftmaxLoss
from pml_aug.miners import ExpansionMiner
from pml_aug.synthesis import interpolate, within_class_pairs
from pml_aug.wrappers import EmbeddingExpansion, ProxySynthesis

RECORDED = [f"ee_{number:02d}" for number in range(10)]


def relative_error(actual, expected):
    return float((actual.detach() - expected).abs().max() / expected.abs().max())


def batch(dtype=torch.float32, size=12, num_classes=3, width=5):
    return torch.randn(size, width, dtype=dtype), torch.arange(size) % num_classes


def value_and_gradient(loss, embeddings, labels, *rest):
    embeddings = embeddings.clone().requires_grad_()
    value = loss(embeddings, labels, *rest)
    value.backward()
    return value.detach(), embeddings.grad


# ---- recorded numbers


@pytest.mark.parametrize("name", RECORDED[1:])
def test_synthetic_points_are_the_recorded_ones(golden, name):
    file = golden(name)
    partners = file.embeddings[torch.arange(len(file.labels)) ^ 1]
    points = interpolate(file.embeddings, partners, file.meta["n_inner_pts"], file.meta["l2_norm"])
    assert relative_error(points, file.synthetic_embeddings) < 1e-10


@pytest.mark.parametrize("name", RECORDED)
def test_around_batch_hard_triplets_it_is_the_recorded_loss(golden, name):
    file = golden(name)
    meta = file.meta
    wrapper = EmbeddingExpansion(
        losses.TripletMarginLoss(
            margin=0.0 if meta["soft_margin"] else meta["margin"],
            smooth_loss=meta["soft_margin"],
            distance=distances.LpDistance(normalize_embeddings=False),
            reducer=reducers.SumReducer(),
        ),
        num_points=meta["n_inner_pts"],
        miner=miners.BatchHardMiner(distance=distances.LpDistance(normalize_embeddings=False)),
        normalize=meta["l2_norm"],
        pairing="adjacent",
        anchor_points="own",
    )
    value, gradient = value_and_gradient(wrapper, file.embeddings, file.labels)

    # an anchor without a positive is skipped here, and adds a constant there
    has_positive = (file.labels[:, None] == file.labels).sum(dim=1) > 1
    torch.testing.assert_close(value, file.loss_per_anchor[has_positive].sum(), rtol=1e-10, atol=0)

    expected = file.grad_embeddings_split
    if meta["l2_norm"] and meta["n_inner_pts"]:
        # the recorded rows count as given; here they are brought to unit length, so the part along them is gone
        expected = expected - (expected * file.embeddings).sum(dim=1, keepdim=True) * file.embeddings
    assert relative_error(gradient, expected) < 1e-10


# ---- by hand, in two dimensions


@pytest.mark.parametrize("anchor_points", ["class", "own"])
def test_the_negative_is_measured_from_the_nearest_points_of_both_segments(anchor_points):
    embeddings = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 1.0], [1.0, 3.0]])
    labels = torch.tensor([0, 0, 1, 1])
    distance = distances.LpDistance(normalize_embeddings=False)
    wrapper = EmbeddingExpansion(
        losses.TripletMarginLoss(margin=10.0, distance=distance, reducer=reducers.DoNothingReducer()),
        num_points=1,
        normalize=False,
        anchor_points=anchor_points,
    )
    triplets = tuple(torch.tensor([row]) for row in (0, 1, 2))
    loss = wrapper(embeddings, labels, triplets)["loss"]["losses"]
    # the points are (1, 0) and (1, 2); (1, 0) is 1 away from row 2, the rows themselves are sqrt(2) away
    torch.testing.assert_close(loss, torch.tensor([2.0 - 1.0 + 10.0]))


def test_similarities_are_pooled_by_their_largest():
    embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.0]])
    labels = torch.tensor([0, 0, 1, 1])
    wrapper = EmbeddingExpansion(
        losses.ContrastiveLoss(
            pos_margin=1,
            neg_margin=0,
            distance=distances.CosineSimilarity(),
            reducer=reducers.DoNothingReducer(),
        ),
        num_points=1,
    )
    no_positives = (torch.tensor([], dtype=torch.long),) * 2
    found = wrapper(embeddings, labels, (*no_positives, torch.tensor([0, 1]), torch.tensor([2, 3])))
    # the point between rows 0 and 1 has the direction of row 2; all points of the other class count for row 3 as well
    torch.testing.assert_close(found["neg_loss"]["losses"], torch.tensor([1.0, 1.0]))


def test_num_synthetic_counts_points_not_copies():
    wrapper = EmbeddingExpansion(losses.TripletMarginLoss(collect_stats=True), num_points=3)
    wrapper(torch.randn(5, 2), torch.tensor([0, 0, 0, 1, 1]))
    assert wrapper.num_synthetic == 3 * 2  # one row of class 0 stays alone


# ---- limits

PAIRS_OF_LOSS_AND_MINER = [
    (losses.MultiSimilarityLoss, None),
    (losses.MultiSimilarityLoss, miners.MultiSimilarityMiner),
    (losses.TripletMarginLoss, None),
    (losses.TripletMarginLoss, miners.BatchHardMiner),
    (losses.NCALoss, None),
    (losses.SupConLoss, None),
    (losses.FastAPLoss, None),
    (losses.CircleLoss, miners.PairMarginMiner),
]


@pytest.mark.parametrize(("make_loss", "make_miner"), PAIRS_OF_LOSS_AND_MINER)
def test_no_points_give_the_bare_loss_to_the_last_bit(make_loss, make_miner):
    embeddings, labels = batch()
    miner = make_miner and make_miner()
    indices_tuple = miner and miner(embeddings, labels)
    bare = value_and_gradient(make_loss(), embeddings, labels, indices_tuple)
    wrapped = value_and_gradient(EmbeddingExpansion(make_loss(), 0, miner), embeddings, labels)
    assert torch.equal(wrapped[0], bare[0])
    assert torch.equal(wrapped[1], bare[1])


def test_without_a_pair_of_equal_labels_the_loss_is_the_bare_one():
    embeddings = torch.randn(6, 4, dtype=torch.float64)
    labels = torch.arange(6)
    bare = losses.ContrastiveLoss()(embeddings, labels)
    torch.testing.assert_close(EmbeddingExpansion(losses.ContrastiveLoss())(embeddings, labels), bare)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3], [0]], ids=["one class", "one a class", "one row"])
def test_a_batch_without_triplets_gives_zero_and_a_zero_gradient(labels):
    wrapper = EmbeddingExpansion(losses.TripletMarginLoss(), miner=miners.BatchHardMiner())
    value, gradient = value_and_gradient(wrapper, torch.randn(len(labels), 3), torch.tensor(labels))
    assert value == 0
    assert torch.equal(gradient, torch.zeros(len(labels), 3))


@pytest.mark.parametrize(
    "embeddings",
    [torch.ones(4, 3), torch.zeros(4, 3), torch.tensor([[1.0, 0, 0], [-1.0, 0, 0], [0, 1.0, 0], [0, -1.0, 0]])],
    ids=["duplicates", "zeros", "opposite ends"],
)
def test_degenerate_rows_give_a_finite_gradient(embeddings):
    wrapper = EmbeddingExpansion(losses.TripletMarginLoss(margin=0.5), num_points=1)
    value, gradient = value_and_gradient(wrapper, embeddings, torch.tensor([0, 0, 1, 1]))
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()


# ---- properties


@given(st.integers(0, 10**6), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_no_triplet_becomes_easier(seed, num_points):
    generator = torch.Generator().manual_seed(seed)
    embeddings = normalize(torch.randn(8, 3, generator=generator, dtype=torch.float64))
    labels = torch.randint(3, (8,), generator=generator)
    loss = losses.TripletMarginLoss(margin=5.0, reducer=reducers.SumReducer())
    assert EmbeddingExpansion(loss, num_points)(embeddings, labels) >= loss(embeddings, labels) - 1e-9


@pytest.mark.parametrize("anchor_points", ["class", "own"])
def test_the_order_of_the_batch_does_not_matter_with_all_pairs(anchor_points):
    embeddings, labels = batch(torch.float64, size=11)
    wrapper = EmbeddingExpansion(
        losses.MultiSimilarityLoss(),
        miner=miners.MultiSimilarityMiner(),
        pairing="all_pairs",
        anchor_points=anchor_points,
    )
    order = torch.randperm(11)
    value, gradient = value_and_gradient(wrapper, embeddings, labels)
    permuted_value, permuted_gradient = value_and_gradient(wrapper, embeddings[order], labels[order])
    torch.testing.assert_close(permuted_value, value, rtol=1e-12, atol=0)
    torch.testing.assert_close(permuted_gradient, gradient[order], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("pairing", ["within_class", "adjacent", "all_pairs"])
@pytest.mark.parametrize("anchor_points", ["class", "own"])
@pytest.mark.parametrize("make_loss", [losses.NTXentLoss, losses.GeneralizedLiftedStructureLoss])
def test_gradient_is_the_derivative_of_the_value(pairing, anchor_points, make_loss):
    embeddings, labels = batch(torch.float64, size=8, num_classes=2, width=3)
    wrapper = EmbeddingExpansion(make_loss(), 2, pairing=pairing, anchor_points=anchor_points)
    assert torch.autograd.gradcheck(lambda x: wrapper(x, labels), embeddings.requires_grad_())


def test_two_calls_give_the_same_number():
    embeddings, labels = batch()
    wrapper = EmbeddingExpansion(losses.MultiSimilarityLoss(), miner=miners.MultiSimilarityMiner())
    assert torch.equal(wrapper(embeddings, labels), wrapper(embeddings, labels))


# ---- what keeps working


@pytest.mark.parametrize("normalize_rows", [True, False])
@pytest.mark.parametrize("make_miner", [None, miners.BatchHardMiner])
def test_an_introspective_distance_expands_the_semantic_part_and_the_uncertainty_beside_it(make_miner, normalize_rows):
    semantic, labels = batch(torch.float64)
    rows = torch.cat([semantic, 3 * torch.randn_like(semantic)], dim=1)

    def expanded(distance):
        miner = make_miner and make_miner(distance=distance)
        return EmbeddingExpansion(losses.TripletMarginLoss(distance=distance), 2, miner, normalize=normalize_rows)

    for options in ({}, {"normalize_embeddings": False}):
        trusting = IntrospectiveDistance(5, tau=math.inf, **options)
        plain = distances.LpDistance(**options)
        torch.testing.assert_close(expanded(trusting)(rows, labels), expanded(plain)(semantic, labels))
        assert expanded(IntrospectiveDistance(5, **options))(rows, labels) != expanded(plain)(semantic, labels)


def matrix_of(wrapper, embeddings, labels, distance):
    query = wrapper.expansion.expand(embeddings, labels, distance)
    return wrapper.expansion.pool(distance, query, query)


ALL_MINERS = {
    "BatchEasyHardMiner": miners.BatchEasyHardMiner,
    "BatchHardMiner": miners.BatchHardMiner,
    "DistanceWeightedMiner": miners.DistanceWeightedMiner,
    "EmbeddingsAlreadyPackagedAsTriplets": miners.EmbeddingsAlreadyPackagedAsTriplets,
    "HDCMiner": miners.HDCMiner,
    "MultiSimilarityMiner": miners.MultiSimilarityMiner,
    "PairMarginMiner": miners.PairMarginMiner,
    "TripletMarginMiner": miners.TripletMarginMiner,
    "UniformHistogramMiner": miners.UniformHistogramMiner,
}


def test_every_miner_of_the_host_library_is_tried():
    assert {*ALL_MINERS, "BaseMiner", "AngularMiner"} == {
        name for name, kind in vars(miners).items() if isinstance(kind, type)
    }


@pytest.mark.parametrize("name", ALL_MINERS)
def test_the_miner_mines_on_the_pooled_matrix_and_leaves_it_as_it_is(name):
    embeddings, labels = batch(size=9)
    miner = ALL_MINERS[name]()
    loss = losses.TripletMarginLoss(margin=1.0)
    wrapper = EmbeddingExpansion(loss, miner=miner)
    torch.manual_seed(5)
    value = wrapper(embeddings, labels)

    own_distance, own_loss_distance = miner.distance, loss.distance
    matrix = matrix_of(wrapper, embeddings, labels, own_distance)
    kept = matrix.clone()
    miner.distance = PrecomputedDistance(own_distance, matrix)
    torch.manual_seed(5)
    indices_tuple = miner(embeddings, labels)
    assert torch.equal(matrix, kept)
    loss.distance = PrecomputedDistance(own_loss_distance, matrix_of(wrapper, embeddings, labels, own_loss_distance))
    assert torch.equal(loss(embeddings, labels, indices_tuple), value)


def test_the_miner_s_choice_is_not_that_on_the_rows():
    embeddings = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 1.0], [1.0, 2.0], [2.5, 1.0], [4.0, 1.0]])
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    distance = distances.LpDistance(normalize_embeddings=False)
    wrapper = EmbeddingExpansion(losses.TripletMarginLoss(), 1, normalize=False, anchor_points="own")

    def nearest_negative_of_row_1(matrix):
        return int(matrix[1].masked_fill(labels == 0, torch.inf).argmin())

    # row 1 is sqrt(5/4) from row 4; the point (1, 0) on its segment is 1 from row 2
    assert nearest_negative_of_row_1(distance(embeddings)) == 4
    assert nearest_negative_of_row_1(matrix_of(wrapper, embeddings, labels, distance)) == 2


def test_given_tuples_come_before_the_miner():
    embeddings, labels = batch()
    given_tuple = tuple(torch.tensor([row]) for row in (0, 3, 1))
    with_miner = EmbeddingExpansion(losses.TripletMarginLoss(margin=3.0), miner=miners.BatchHardMiner())
    without = EmbeddingExpansion(losses.TripletMarginLoss(margin=3.0))
    assert torch.equal(with_miner(embeddings, labels, given_tuple), without(embeddings, labels, given_tuple))


@pytest.mark.parametrize("make_loss", [losses.ContrastiveLoss, losses.TripletMarginLoss, losses.MultiSimilarityLoss])
@pytest.mark.parametrize("size", [0, 1, 2])
def test_few_tuples_are_no_reason_to_refuse_the_loss(make_loss, size):
    embeddings, labels = batch()
    few = tuple(torch.tensor(rows[:size], dtype=torch.long) for rows in ([0, 1], [3, 4], [2, 3]))
    assert torch.isfinite(EmbeddingExpansion(make_loss())(embeddings, labels, few))


@pytest.mark.parametrize("make_miner", [None, miners.MultiSimilarityMiner])
def test_references_are_expanded_too(make_miner):
    embeddings, labels = batch(torch.float64)
    references, reference_labels = batch(torch.float64, size=7)
    loss = losses.MultiSimilarityLoss()
    wrapper = EmbeddingExpansion(loss, miner=make_miner and make_miner())
    value = wrapper(embeddings, labels, None, references, reference_labels)

    query, reference = wrapper.expansion.expand_both(embeddings, labels, references, reference_labels)
    matrix = wrapper.expansion.pool(loss.distance, query, reference)
    indices_tuple = None
    if make_miner:
        miner = make_miner(distance=PrecomputedDistance(distances.CosineSimilarity(), matrix))
        indices_tuple = miner(embeddings, labels, references, reference_labels)
    loss.distance = PrecomputedDistance(distances.CosineSimilarity(), matrix)
    assert torch.equal(value, loss(embeddings, labels, indices_tuple, references, reference_labels))


@pytest.mark.parametrize(
    "distance", [distances.LpDistance(p=1), distances.LpDistance(p=2), distances.CosineSimilarity()]
)
def test_a_distance_that_normalises_still_does_by_its_own_norm(distance):
    embeddings, labels = batch(torch.float64)
    loss = losses.ContrastiveLoss(distance=distance)
    wrapper = EmbeddingExpansion(loss)
    value = wrapper(embeddings, labels)
    batch_with_points = wrapper.expansion.expand(embeddings, labels)
    matrix = pooled_matrix(distance, batch_with_points, batch_with_points)
    loss.distance = PrecomputedDistance(distance, matrix)
    torch.testing.assert_close(value, loss(embeddings, labels), rtol=1e-9, atol=0)  # points are 1 - 5e-11 long


REDUCERS = {
    "mean": reducers.MeanReducer(),
    "sum": reducers.SumReducer(),
    "threshold": reducers.ThresholdReducer(low=0.1),
    "average of what is not zero": reducers.AvgNonZeroReducer(),
    "class-weighted": reducers.ClassWeightedReducer(torch.tensor([1.0, 2.0, 3.0])),
    "per anchor": reducers.PerAnchorReducer(),
}


@pytest.mark.parametrize("reducer", REDUCERS.values(), ids=REDUCERS.keys())
def test_the_loss_s_reducer_reduces(reducer):
    embeddings, labels = batch(torch.float64)
    loss = losses.ContrastiveLoss(reducer=reducer)
    wrapper = EmbeddingExpansion(loss)
    value = wrapper(embeddings, labels)
    assert wrapper.reducer is loss.reducer
    loss.distance = PrecomputedDistance(loss.distance, matrix_of(wrapper, embeddings, labels, loss.distance))
    assert torch.equal(value, loss(embeddings, labels))


def test_the_regularizer_sees_the_embeddings_as_the_network_gives_them():
    embeddings, labels = batch(torch.float64)
    plain = EmbeddingExpansion(losses.TripletMarginLoss())(embeddings, labels)
    regularized = EmbeddingExpansion(
        losses.TripletMarginLoss(embedding_regularizer=regularizers.LpRegularizer(), embedding_reg_weight=0.5)
    )(embeddings, labels)
    torch.testing.assert_close(regularized - plain, 0.5 * embeddings.norm(dim=1).mean())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_raised_to_float32(dtype):
    embeddings, labels = batch()
    halved = embeddings.to(dtype)
    wrapper = EmbeddingExpansion(losses.MultiSimilarityLoss(), miner=miners.MultiSimilarityMiner())
    assert torch.equal(wrapper(halved, labels), wrapper(halved.float(), labels))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(wrapper(halved, labels), wrapper(halved.float(), labels))


# ---- refusals


class NeverAsks(losses.BaseMetricLossFunction):
    """Someone's loss that compares rows by itself."""

    def compute_loss(self, embeddings, labels, indices_tuple, ref_emb, ref_labels):
        return {"loss": {"losses": embeddings.sum(), "indices": None, "reduction_type": "already_reduced"}}


def test_a_loss_that_never_asks_for_the_matrix_is_refused_and_left_as_it_was():
    loss = NeverAsks()
    own = loss.distance
    with pytest.raises(ValueError, match="cannot wrap NeverAsks: it never asks its distance for the matrix"):
        EmbeddingExpansion(loss)(*batch())
    assert loss.distance is own


class Breaks(losses.ContrastiveLoss):
    def _compute_loss(self, *args):
        raise RuntimeError("broken")


def test_an_error_from_inside_leaves_loss_and_miner_as_they_were():
    loss, miner = Breaks(), miners.BatchHardMiner()
    own = loss.distance, miner.distance
    with pytest.raises(RuntimeError, match="broken"):
        EmbeddingExpansion(loss, miner=miner)(*batch())
    assert (loss.distance, miner.distance) == own


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_points": -1}, "num_points must be at least 0, but got -1"),
        ({"pairing": "roll"}, r"`pairing` to be one of \['within_class', 'adjacent', 'all_pairs'\] but got 'roll'"),
        ({"anchor_points": "all"}, r"`anchor_points` to be one of \('class', 'own'\) but got 'all'"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        EmbeddingExpansion(losses.TripletMarginLoss(), **arguments)


def test_what_is_no_miner_is_refused():
    with pytest.raises(TypeError, match="argument `miner` to be a BaseMiner .* but got LpDistance"):
        EmbeddingExpansion(losses.TripletMarginLoss(), miner=distances.LpDistance())


def test_an_odd_batch_is_refused_with_adjacent_pairs():
    wrapper = EmbeddingExpansion(losses.TripletMarginLoss(), pairing="adjacent")
    with pytest.raises(ValueError, match="needs an even batch, but got 5 rows"):
        wrapper(torch.randn(5, 2), torch.tensor([0, 0, 1, 1, 1]))


C, D = 4, 5
REFUSED = {
    "AngularLoss": (lambda: losses.AngularLoss(), "never asks its distance for the matrix"),
    "InstanceLoss": (lambda: losses.InstanceLoss(), "every sample a class of its own"),
    "IntrospectiveSoftmaxLoss": (lambda: IntrospectiveSoftmaxLoss(C, D, 2), "compare with its classes"),
    "ManifoldLoss": (lambda: losses.ManifoldLoss(l=D), "takes no labels"),
    "NPairsLoss": (lambda: losses.NPairsLoss(), "one pair of each class"),
    "P2SGradLoss": (lambda: losses.P2SGradLoss(D, C), "compare with its classes"),
    "ThresholdConsistentMarginLoss": (lambda: losses.ThresholdConsistentMarginLoss(), "never asks its distance"),
    "VICRegLoss": (lambda: losses.VICRegLoss(), "no distance and no negatives"),
}
NO_LOSSES = {
    "CrossBatchMemory": lambda: losses.CrossBatchMemory(losses.ContrastiveLoss(), embedding_size=D),
    "MultipleLosses": lambda: losses.MultipleLosses([losses.ContrastiveLoss()]),
    "SelfSupervisedLoss": lambda: losses.SelfSupervisedLoss(losses.ContrastiveLoss()),
}
OF_PROXIES = {
    "ArcFaceLoss": lambda: losses.ArcFaceLoss(C, D),
    "CosFaceLoss": lambda: losses.CosFaceLoss(C, D),
    "LargeMarginSoftmaxLoss": lambda: losses.LargeMarginSoftmaxLoss(C, D),
    "NormalizedSoftmaxLoss": lambda: losses.NormalizedSoftmaxLoss(C, D),
    "ProxyAnchorLoss": lambda: losses.ProxyAnchorLoss(C, D),
    "ProxyNCALoss": lambda: losses.ProxyNCALoss(C, D),
    "SoftTripleLoss": lambda: losses.SoftTripleLoss(C, D, centers_per_class=3),
    "SphereFaceLoss": lambda: losses.SphereFaceLoss(C, D),
    "SubCenterArcFaceLoss": lambda: losses.SubCenterArcFaceLoss(num_classes=C, embedding_size=D),
}
OF_ROWS = {
    "CircleLoss": losses.CircleLoss,
    "ContrastiveLoss": losses.ContrastiveLoss,
    "DynamicSoftMarginLoss": losses.DynamicSoftMarginLoss,
    "FastAPLoss": losses.FastAPLoss,
    "GeneralizedLiftedStructureLoss": losses.GeneralizedLiftedStructureLoss,
    "HistogramLoss": lambda: losses.HistogramLoss(n_bins=4),
    "IntraPairVarianceLoss": losses.IntraPairVarianceLoss,
    "LiftedStructureLoss": losses.LiftedStructureLoss,
    "MarginLoss": losses.MarginLoss,
    "MultiSimilarityLoss": losses.MultiSimilarityLoss,
    "NCALoss": losses.NCALoss,
    "NTXentLoss": losses.NTXentLoss,
    "PNPLoss": losses.PNPLoss,
    "RankedListLoss": lambda: losses.RankedListLoss(margin=0.4, Tn=10),
    "SignalToNoiseRatioContrastiveLoss": losses.SignalToNoiseRatioContrastiveLoss,
    "SmoothAPLoss": losses.SmoothAPLoss,
    "SupConLoss": losses.SupConLoss,
    "TripletMarginLoss": losses.TripletMarginLoss,
    "TupletMarginLoss": losses.TupletMarginLoss,
}
ABSTRACT = {"BaseLossWrapper", "BaseMetricLossFunction", "EmbeddingRegularizerMixin", "GenericPairLoss"}
ABSTRACT |= {"WeightRegularizerMixin"}


def test_every_loss_of_the_host_library_has_its_verdict():
    known = {name for name, kind in vars(losses).items() if isinstance(kind, type)}
    assert known == {*REFUSED, *NO_LOSSES, *OF_ROWS, *OF_PROXIES, *ABSTRACT} - {"IntrospectiveSoftmaxLoss"}


@pytest.mark.parametrize("name", REFUSED)
def test_a_loss_without_negatives_to_harden_is_refused_by_name(name):
    make, reason = REFUSED[name]
    with pytest.raises(ValueError, match=f"EmbeddingExpansion cannot wrap {name}: .*{reason}"):
        EmbeddingExpansion(make())


@pytest.mark.parametrize("name", NO_LOSSES)
def test_what_holds_losses_goes_around_the_wrapper(name):
    with pytest.raises(
        TypeError, match=f"`loss` to be a BaseMetricLossFunction .* but got {name}; wrap the loss itself"
    ):
        EmbeddingExpansion(NO_LOSSES[name]())


@pytest.mark.parametrize("name", [*OF_ROWS, *OF_PROXIES])
def test_a_loss_that_asks_for_the_matrix_gets_harder_negatives(name):
    embeddings, labels = torch.randn(8, 5), torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    loss = {**OF_ROWS, **OF_PROXIES}[name]()
    value, gradient = value_and_gradient(EmbeddingExpansion(loss), embeddings, labels)
    assert torch.isfinite(value) and torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0
    assert value != loss(embeddings, labels)


def test_a_miner_that_never_asks_for_the_matrix_is_refused_by_name():
    with pytest.raises(ValueError, match="EmbeddingExpansion cannot wrap AngularMiner: it measures angles"):
        EmbeddingExpansion(losses.TripletMarginLoss(), miner=miners.AngularMiner())


def test_another_wrapper_inside_is_refused():
    inner = EmbeddingExpansion(losses.ContrastiveLoss())
    with pytest.raises(ValueError, match="EmbeddingExpansion cannot wrap EmbeddingExpansion: it gives its loss more"):
        EmbeddingExpansion(inner)


def test_around_proxy_synthesis_the_loss_inside_is_looked_at():
    with pytest.raises(ValueError, match="EmbeddingExpansion cannot wrap P2SGradLoss in ProxySynthesis: it works out"):
        EmbeddingExpansion(ProxySynthesis(losses.P2SGradLoss(D, C)))


def test_around_proxy_synthesis_a_miner_is_refused():
    with pytest.raises(ValueError, match="takes no `miner` around ProxySynthesis, which reads no index tuples"):
        EmbeddingExpansion(ProxySynthesis(losses.ProxyNCALoss(C, D)), miner=miners.BatchHardMiner())


# ---- proxies


def by_definition(distance, rows, labels, proxies, of_proxies, num_points, over_class):
    """Rows to proxies, entry by entry; unit vectors, pairs in the order of the batch."""
    rows = normalize(rows)
    pairs = within_class_pairs(labels)
    points = interpolate(rows[pairs.start], rows[pairs.end], num_points)
    of_points = torch.stack(pairs).repeat(1, num_points).T
    matrix = torch.empty(len(rows), len(proxies), dtype=rows.dtype)
    for i, label in enumerate(labels):
        mine = labels[of_points[:, 0]] == label if over_class else (of_points == i).any(dim=1)
        around = torch.cat([rows[labels == label] if over_class else rows[i : i + 1], points[mine]])
        among = distance(around, proxies)
        hardest = among.amax(dim=0) if distance.is_inverted else among.amin(dim=0)
        matrix[i] = torch.where(of_proxies == label, distance(rows[i : i + 1], proxies)[0], hardest)
    return matrix


@pytest.mark.parametrize("anchor_points", ["class", "own"])
@pytest.mark.parametrize(
    "distance", [distances.CosineSimilarity(), distances.LpDistance(power=2)], ids=["cosine", "L2"]
)
@pytest.mark.parametrize("per_class", [1, 3])
def test_every_entry_to_a_proxy_is_its_definition(per_class, distance, anchor_points):
    rows, labels = torch.randn(11, 5, dtype=torch.float64), torch.arange(11) % 4
    proxies = torch.randn(5 * per_class, 5, dtype=torch.float64)  # of class 4 the batch has none
    of_proxies = torch.arange(5).repeat_interleave(per_class)
    to_proxies = DistanceToProxies(distance, Expansion(2, anchor_points=anchor_points), labels, per_class)
    expected = by_definition(distance, rows, labels, proxies, of_proxies, 2, anchor_points == "class")
    torch.testing.assert_close(to_proxies(rows, proxies), expected, rtol=1e-9, atol=1e-9)
    assert to_proxies.num_synthetic == 2 * 4  # of three classes with three rows, one each stays alone


def test_by_hand_the_point_between_two_rows_meets_the_proxy_of_another_class():
    loss = losses.NormalizedSoftmaxLoss(num_classes=2, embedding_size=2, temperature=1.0)
    loss.W.data = torch.tensor([[1.0, 1.0], [0.0, 1.0]])  # proxies (1, 0) and (1, 1)
    embeddings, labels = torch.eye(2), torch.tensor([0, 0])
    # similarities 1 and 0 to the own proxy; 1 to the other, on which the point half-way lies
    logits = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    expected = torch.nn.functional.cross_entropy(logits, labels)
    torch.testing.assert_close(EmbeddingExpansion(loss, num_points=1)(embeddings, labels), expected)


@pytest.mark.parametrize("name", OF_PROXIES)
@pytest.mark.parametrize("wrap", [lambda loss: loss, ProxySynthesis], ids=["bare", "in proxy synthesis"])
def test_no_points_give_the_bare_proxy_loss_to_the_last_bit(name, wrap):
    embeddings, labels = batch(num_classes=C)
    loss = wrap(OF_PROXIES[name]())
    found = []
    for either in (loss, EmbeddingExpansion(loss, num_points=0)):
        torch.manual_seed(3)
        found.append(value_and_gradient(either, embeddings, labels))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("name", OF_PROXIES)
def test_rows_without_partners_give_the_bare_proxy_loss(name):
    embeddings, labels = torch.randn(4, D, dtype=torch.float64), torch.arange(4)
    loss = OF_PROXIES[name]()
    torch.testing.assert_close(EmbeddingExpansion(loss)(embeddings, labels), loss(embeddings, labels))


@pytest.mark.parametrize("name", ["ProxyAnchorLoss", "ProxyNCALoss", "SoftTripleLoss", "NormalizedSoftmaxLoss"])
@pytest.mark.parametrize("wrap", [lambda loss: loss, ProxySynthesis], ids=["bare", "in proxy synthesis"])
def test_gradient_of_embeddings_and_proxies_is_the_derivative(name, wrap):
    embeddings, labels = batch(torch.float64, size=8, num_classes=3)
    loss = OF_PROXIES[name]().double()
    wrapper = EmbeddingExpansion(wrap(loss), 2)
    ((held, parameter),) = wrapper.named_parameters()
    draws = {"mixing": 0.3} if wrap is ProxySynthesis else {}

    def value(rows, proxies):
        draws["generator"] = torch.Generator().manual_seed(0)
        return functional_call(wrapper, {held: proxies}, (rows, labels), draws)

    assert torch.autograd.gradcheck(value, (embeddings.requires_grad_(), parameter.detach().requires_grad_()))


@pytest.mark.parametrize("anchor_points", ["class", "own"])
@pytest.mark.parametrize("name", OF_PROXIES)
def test_the_order_of_the_batch_does_not_matter_to_proxies_with_all_pairs(name, anchor_points):
    embeddings, labels = batch(torch.float64, size=11, num_classes=C)
    wrapper = EmbeddingExpansion(OF_PROXIES[name]().double(), pairing="all_pairs", anchor_points=anchor_points)
    order = torch.randperm(11)
    value, gradient = value_and_gradient(wrapper, embeddings, labels)
    permuted_value, permuted_gradient = value_and_gradient(wrapper, embeddings[order], labels[order])
    torch.testing.assert_close(permuted_value, value, rtol=1e-11, atol=0)
    torch.testing.assert_close(permuted_gradient, gradient[order], rtol=1e-8, atol=1e-11)


def test_mixtures_of_proxy_synthesis_stand_for_themselves_and_their_proxies_are_pooled():
    embeddings, labels = batch(torch.float64, num_classes=C)
    loss = losses.ProxyNCALoss(C, D).double()
    seen = []

    class Watched(DistanceToProxies):
        def forward(self, query_emb, ref_emb=None):
            matrix = super().forward(query_emb, ref_emb)
            seen.append((self.distance(query_emb, ref_emb), matrix))
            return matrix

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pml_aug.wrappers.embedding_expansion.DistanceToProxies", Watched)
        wrapper = EmbeddingExpansion(ProxySynthesis(loss))
        wrapper(embeddings, labels)
    ((plain, pooled),) = seen
    mixtures = wrapper.loss.num_synthetic
    assert plain.shape == (12 + mixtures, C + mixtures) and mixtures == 12
    torch.testing.assert_close(pooled[12:], plain[12:])
    torch.testing.assert_close(pooled[range(12), labels], plain[range(12), labels])
    assert (pooled[:12] <= plain[:12] + 1e-12).all()
    assert (pooled[:12, C:] < plain[:12, C:] - 1e-6).any()
    assert wrapper.num_synthetic == 2 * 4


@pytest.mark.parametrize("pairing", ["within_class", "adjacent", "all_pairs"])
def test_every_pairing_leaves_mixtures_alone(pairing):
    embeddings, labels = batch(num_classes=C, size=6)
    wrapper = EmbeddingExpansion(ProxySynthesis(losses.ProxyAnchorLoss(C, D), ratio=0.5), 1, pairing=pairing)
    wrapper(embeddings, labels)
    assert wrapper.loss.num_synthetic == 3
    assert wrapper.num_synthetic == {"within_class": 2, "adjacent": 3, "all_pairs": 2}[pairing]


def test_a_miner_weighs_the_rows_of_a_proxy_loss():
    embeddings, labels = torch.randn(12, D), torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3])
    loss = losses.NormalizedSoftmaxLoss(C, D)
    miner = miners.TripletMarginMiner(margin=0.1)
    mined = ExpansionMiner(miner)(embeddings, labels)
    expected = EmbeddingExpansion(loss)(embeddings, labels, mined)
    assert torch.equal(EmbeddingExpansion(loss, miner=miner)(embeddings, labels), expected)
    assert expected != EmbeddingExpansion(loss)(embeddings, labels)


@pytest.mark.parametrize("synthesised", [False, True])
def test_introspective_rows_are_expanded_towards_proxies(synthesised):
    semantic, labels = batch(torch.float64, num_classes=C)
    rows = torch.cat([semantic, torch.randn_like(semantic)], dim=1)

    def expanded(distance, embeddings):
        torch.manual_seed(5)
        loss = losses.ProxyAnchorLoss(C, D, distance=distance).double()
        wrapper = EmbeddingExpansion(ProxySynthesis(loss) if synthesised else loss)
        draws = {"mixing": 0.3, "generator": torch.Generator().manual_seed(0)} if synthesised else {}
        return wrapper(embeddings, labels, **draws)

    trusting = expanded(IntrospectiveSimilarity(D, tau=math.inf), rows)
    torch.testing.assert_close(trusting, expanded(distances.CosineSimilarity(), semantic))
    assert expanded(IntrospectiveSimilarity(D), rows) != trusting


def test_labels_beyond_the_proxies_are_refused():
    wrapper = EmbeddingExpansion(losses.ProxyAnchorLoss(C, D))
    with pytest.raises(
        ValueError, match=r"labels must be in 0 \.\. 3, the classes of ProxyAnchorLoss, but got 0 \.\. 5"
    ):
        wrapper(torch.randn(6, D), torch.arange(6))


class ComparesRows(losses.ProxyAnchorLoss):
    """Someone's loss that wants more than its proxies."""

    def get_logits(self, embeddings):
        return self.distance(embeddings) @ self.distance(embeddings, self.proxies)


class MeasuresByItself(losses.ProxyAnchorLoss):
    def get_logits(self, embeddings):
        return embeddings @ self.proxies.T


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (ComparesRows, "distances of rows to each other"),
        (MeasuresByItself, "cannot wrap MeasuresByItself: it works out"),
    ],
)
def test_a_proxy_loss_that_asks_otherwise_is_refused_and_left_as_it_was(kind, message):
    loss = kind(C, D)
    own = loss.distance
    with pytest.raises(ValueError, match=message):
        EmbeddingExpansion(loss)(*batch(num_classes=C))
    assert loss.distance is own
