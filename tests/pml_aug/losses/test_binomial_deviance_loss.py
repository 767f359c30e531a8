"""Binomial deviance: recorded numbers, hand-made cases, missing sides, what a PML loss takes."""

import math

import pytest
import torch
from pytorch_metric_learning import distances, miners, reducers
from pytorch_metric_learning.utils.loss_and_miner_utils import get_all_pairs_indices

from pml_aug.losses import BinomialDevianceLoss
from pml_aug.wrappers import EmbeddingExpansion


def dot_product():
    """The official code's similarity: the rows count as given."""
    return distances.DotProductSimilarity(normalize_embeddings=False)


def assert_recorded(file, loss, indices_tuple=None):
    embeddings = file.embeddings.requires_grad_()
    value = loss(embeddings, file.labels, indices_tuple)
    value.backward()
    torch.testing.assert_close(value.detach(), file.loss, rtol=1e-10, atol=0)
    torch.testing.assert_close(embeddings.grad, file.grad_embeddings, rtol=1e-10, atol=1e-12)


def test_it_is_the_recorded_loss(golden):
    file = golden("dm_00")
    assert_recorded(file, BinomialDevianceLoss(2, float(file.meta["options"]["alpha"]), distance=dot_product()))


def test_on_multi_similarity_s_pairs_it_is_the_recorded_hard_mining_loss(golden):
    file = golden("dm_01")
    alpha, beta = (float(file.meta["options"][name]) for name in ("alpha", "beta"))
    loss = BinomialDevianceLoss(beta, alpha, 0.5, 2 / beta, 2 / alpha, distance=dot_product())
    miner = miners.MultiSimilarityMiner(epsilon=0.1, distance=dot_product())
    assert_recorded(file, loss, miner(file.embeddings, file.labels))


def test_the_anchor_itself_counts_only_where_it_is_asked_for(golden):
    file = golden("dm_04")  # recorded with a similarity to itself just below 1, which let it in as a positive
    loss = BinomialDevianceLoss(2, float(file.meta["options"]["alpha"]), distance=dot_product())
    assert abs(loss(file.embeddings, file.labels) - file.loss) > 0.1
    anchors, positives, *negatives = get_all_pairs_indices(file.labels)
    itself = torch.arange(len(file.labels))
    assert_recorded(file, loss, (torch.cat([anchors, itself]), torch.cat([positives, itself]), *negatives))


def test_a_batch_of_three_by_hand():
    embeddings = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    loss = BinomialDevianceLoss(1.0, 3.0, 0.2, 0.5, 2.0, reducer=reducers.DoNothingReducer())
    each = loss(embeddings, torch.tensor([0, 0, 1]))["loss"]["losses"]
    positive = 0.5 * math.log1p(math.exp(-(0.6 - 0.2)))
    negative = {s: 2.0 * math.log1p(math.exp(3 * (s - 0.2))) for s in (0.0, 0.8)}
    expected = [positive + negative[0.0], positive + negative[0.8], (negative[0.0] + negative[0.8]) / 2]
    torch.testing.assert_close(each, torch.tensor(expected))


def test_distances_turn_the_signs_around():
    embeddings, labels = torch.randn(6, 3, dtype=torch.float64), torch.tensor([0, 0, 0, 1, 1, 1])
    distance = distances.LpDistance(power=2)
    of_distances = BinomialDevianceLoss(2.0, 5.0, margin=1.0, distance=distance)(embeddings, labels)
    # on the unit sphere, d^2 - 1 = 2 (1/2 - s)
    of_similarities = BinomialDevianceLoss(4.0, 10.0, margin=0.5)(embeddings, labels)
    torch.testing.assert_close(of_distances, of_similarities)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]], ids=["no negatives", "no positives"])
def test_a_missing_side_adds_nothing(labels):
    embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], requires_grad=True)
    loss = BinomialDevianceLoss(1.0, 1.0, 0.0)(embeddings, torch.tensor(labels))
    # similarities are 0, -1 and 0; as positives they cost ln 2 and ln(1 + e), as negatives ln 2 and ln(1 + 1/e)
    other = math.log1p(math.e if labels[1] == 0 else 1 / math.e)
    torch.testing.assert_close(loss, torch.tensor((2 * (math.log(2) + other) / 2 + math.log(2)) / 3))
    loss.backward()
    assert torch.isfinite(embeddings.grad).all()


def test_no_pairs_at_all_give_zero():
    loss = BinomialDevianceLoss()
    assert loss(torch.randn(1, 3), torch.tensor([0])) == 0


def test_a_very_wrong_pair_keeps_its_digits():
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    labels, references = torch.tensor([0, 1]), embeddings.clone()
    loss = BinomialDevianceLoss(1.0, 60.0, 0.5, positive_weight=0.0)
    value = loss(embeddings, labels, None, references, labels.clone())
    torch.testing.assert_close(value, torch.tensor(30 + math.log1p(math.exp(-30)), dtype=torch.float64), rtol=0, atol=0)


def test_gradient_is_the_derivative_of_the_value():
    embeddings = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1, 2, 3])
    assert torch.autograd.gradcheck(lambda x: BinomialDevianceLoss(2.0, 5.0)(x, labels), embeddings)


def test_references_stand_in_for_the_batch():
    embeddings, labels = torch.randn(5, 3), torch.tensor([0, 0, 1, 1, 2])
    loss = BinomialDevianceLoss()
    # itself left out by its index in both
    assert torch.equal(loss(embeddings, labels, None, embeddings, labels), loss(embeddings, labels))
    assert not torch.equal(loss(embeddings, labels, None, embeddings, labels.clone()), loss(embeddings, labels))


@pytest.mark.parametrize(
    "reducer", [reducers.SumReducer(), reducers.ThresholdReducer(low=0.7), reducers.ClassWeightedReducer(torch.ones(3))]
)
def test_each_reducer_gets_one_loss_an_anchor(reducer):
    embeddings, labels = torch.randn(6, 3), torch.tensor([0, 0, 1, 1, 2, 2])
    each = BinomialDevianceLoss(reducer=reducers.DoNothingReducer())(embeddings, labels)["loss"]["losses"]
    assert each.shape == (6,)
    value = BinomialDevianceLoss(reducer=reducer)(embeddings, labels)
    expected = {
        "SumReducer": each.sum(),
        "ThresholdReducer": each[each > 0.7].mean(),
        "ClassWeightedReducer": each.mean(),
    }
    torch.testing.assert_close(value, expected[type(reducer).__name__])


def test_expansion_makes_it_harder():
    embeddings, labels = torch.randn(8, 3), torch.arange(8) % 2
    assert EmbeddingExpansion(BinomialDevianceLoss())(embeddings, labels) > BinomialDevianceLoss()(embeddings, labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"positive_scale": 0}, "positive_scale must be above 0, but got 0"),
        ({"negative_scale": -2.0}, "negative_scale must be above 0, but got -2.0"),
        ({"positive_weight": -1}, "positive_weight must be at least 0, but got -1"),
        ({"negative_weight": float("nan")}, "negative_weight must be at least 0, but got nan"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BinomialDevianceLoss(**arguments)
