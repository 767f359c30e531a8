"""Miner, references, distance, reducer and regularizer of an expanded loss keep working."""

import math

import pytest
import torch
from expansion_cases import batch, matrix_of
from pytorch_metric_learning import distances, losses, miners, reducers, regularizers

from pml_aug.distances import IntrospectiveDistance, PrecomputedDistance
from pml_aug.expansion import pooled_distances
from pml_aug.wrappers import EmbeddingExpansion

# ---- miners and tuples

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


def test_tuples_beside_a_miner_of_the_wrapper_are_refused():
    embeddings, labels = batch()
    miner = miners.BatchHardMiner()
    for num_points in (0, 2):
        wrapper = EmbeddingExpansion(losses.TripletMarginLoss(margin=3.0), num_points, miner=miner)
        with pytest.raises(ValueError, match="takes no `indices_tuple` beside its own miner"):
            wrapper(embeddings, labels, miner(embeddings, labels))


@pytest.mark.parametrize("make_loss", [losses.ContrastiveLoss, losses.TripletMarginLoss, losses.MultiSimilarityLoss])
@pytest.mark.parametrize("size", [0, 1, 2])
def test_few_tuples_are_no_reason_to_refuse_the_loss(make_loss, size):
    embeddings, labels = batch()
    few = tuple(torch.tensor(rows[:size], dtype=torch.long) for rows in ([0, 1], [3, 4], [2, 3]))
    assert torch.isfinite(EmbeddingExpansion(make_loss())(embeddings, labels, few))


# ---- the parts of the loss


@pytest.mark.parametrize("make_miner", [None, miners.MultiSimilarityMiner])
def test_references_are_expanded_too(make_miner):
    embeddings, labels = batch(dtype=torch.float64)
    references, reference_labels = batch(dtype=torch.float64, size=7)
    loss = losses.MultiSimilarityLoss()
    wrapper = EmbeddingExpansion(loss, miner=make_miner and make_miner())
    value = wrapper(embeddings, labels, None, references, reference_labels)

    query, reference = wrapper.expansion.expand_both(embeddings, labels, references, reference_labels)
    matrix = pooled_distances(loss.distance, query, reference)
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
    embeddings, labels = batch(dtype=torch.float64)
    loss = losses.ContrastiveLoss(distance=distance)
    wrapper = EmbeddingExpansion(loss)
    value = wrapper(embeddings, labels)
    batch_with_points = wrapper.expansion.expand(embeddings, labels)
    matrix = pooled_distances(distance, batch_with_points, batch_with_points)
    loss.distance = PrecomputedDistance(distance, matrix)
    torch.testing.assert_close(value, loss(embeddings, labels), rtol=1e-9, atol=0)  # points are 1 - 5e-11 long


@pytest.mark.parametrize("normalize_rows", [True, False])
@pytest.mark.parametrize("make_miner", [None, miners.BatchHardMiner])
def test_an_introspective_distance_expands_the_semantic_part_and_the_uncertainty_beside_it(make_miner, normalize_rows):
    semantic, labels = batch(dtype=torch.float64)
    rows = torch.cat([semantic, 3 * torch.randn_like(semantic)], dim=1)

    def expanded(distance):
        miner = make_miner and make_miner(distance=distance)
        return EmbeddingExpansion(losses.TripletMarginLoss(distance=distance), 2, miner, normalize=normalize_rows)

    for options in ({}, {"normalize_embeddings": False}):
        trusting = IntrospectiveDistance(5, tau=math.inf, **options)
        plain = distances.LpDistance(**options)
        torch.testing.assert_close(expanded(trusting)(rows, labels), expanded(plain)(semantic, labels))
        assert expanded(IntrospectiveDistance(5, **options))(rows, labels) != expanded(plain)(semantic, labels)


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
    embeddings, labels = batch(dtype=torch.float64)
    loss = losses.ContrastiveLoss(reducer=reducer)
    wrapper = EmbeddingExpansion(loss)
    value = wrapper(embeddings, labels)
    assert wrapper.reducer is loss.reducer
    loss.distance = PrecomputedDistance(loss.distance, matrix_of(wrapper, embeddings, labels, loss.distance))
    assert torch.equal(value, loss(embeddings, labels))


def test_the_regularizer_sees_the_embeddings_as_the_network_gives_them():
    embeddings, labels = batch(dtype=torch.float64)
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
