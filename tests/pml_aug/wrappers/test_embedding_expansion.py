"""Embedding Expansion: recorded numbers, hand-made cases, limits, properties."""

import pytest
import torch
from expansion_cases import batch
from hypothesis import given, settings
from hypothesis import strategies as st
from measuring import relative_error, value_and_gradient
from pytorch_metric_learning import distances, losses, miners, reducers
from torch.nn.functional import normalize

from pml_aug.synthesis import interpolate
from pml_aug.wrappers import EmbeddingExpansion

RECORDED = [f"ee_{number:02d}" for number in range(10)]


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
def test_no_points_give_the_baseline_loss_to_the_last_bit(make_loss, make_miner):
    embeddings, labels = batch()
    miner = make_miner and make_miner()
    indices_tuple = miner and miner(embeddings, labels)
    baseline = value_and_gradient(make_loss(), embeddings, labels, indices_tuple)
    wrapped = value_and_gradient(EmbeddingExpansion(make_loss(), 0, miner), embeddings, labels)
    assert torch.equal(wrapped[0], baseline[0])
    assert torch.equal(wrapped[1], baseline[1])


def test_without_a_pair_of_equal_labels_the_loss_is_the_bare_one():
    embeddings = torch.randn(6, 4, dtype=torch.float64)
    labels = torch.arange(6)
    baseline = losses.ContrastiveLoss()(embeddings, labels)
    torch.testing.assert_close(EmbeddingExpansion(losses.ContrastiveLoss())(embeddings, labels), baseline)


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
    embeddings, labels = batch(dtype=torch.float64, size=11)
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
    embeddings, labels = batch(dtype=torch.float64, size=8, num_classes=2, width=3)
    wrapper = EmbeddingExpansion(make_loss(), 2, pairing=pairing, anchor_points=anchor_points)
    assert torch.autograd.gradcheck(lambda x: wrapper(x, labels), embeddings.requires_grad_())


def test_two_calls_give_the_same_number():
    embeddings, labels = batch()
    wrapper = EmbeddingExpansion(losses.MultiSimilarityLoss(), miner=miners.MultiSimilarityMiner())
    assert torch.equal(wrapper(embeddings, labels), wrapper(embeddings, labels))
