"""Soft lifted structure: recorded numbers, hand-made cases, missing sides, what a PML loss takes."""

import math

import pytest
import torch
from pytorch_metric_learning import distances, miners, reducers

from pml_aug.losses import SoftLiftedStructureLoss
from pml_aug.wrappers import EmbeddingExpansion


def dot_product():
    """The official code's similarity: the rows count as given."""
    return distances.DotProductSimilarity(normalize_embeddings=False)


@pytest.mark.parametrize("name", ["dm_02", "dm_03"])
def test_it_is_the_recorded_loss(golden, name):
    file = golden(name)
    embeddings, indices_tuple = file.embeddings.requires_grad_(), None
    if "hard_mining" in file.meta["options"]:
        indices_tuple = miners.MultiSimilarityMiner(epsilon=0.1, distance=dot_product())(embeddings, file.labels)
    value = SoftLiftedStructureLoss(2.0, 40.0, distance=dot_product())(embeddings, file.labels, indices_tuple)
    value.backward()
    torch.testing.assert_close(value.detach(), file.loss, rtol=1e-10, atol=0)
    torch.testing.assert_close(embeddings.grad, file.grad_embeddings, rtol=1e-10, atol=1e-12)


def test_a_batch_of_three_by_hand():
    embeddings = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    loss = SoftLiftedStructureLoss(1.0, 4.0, reducer=reducers.DoNothingReducer())
    each = loss(embeddings, torch.tensor([0, 0, 1]))["loss"]["losses"]
    # one positive of similarity 0.6 costs -2 * 0.6, one negative of similarity s costs 2 * s
    both = 0.5 * math.log(1 + math.exp(4 * 0.8))
    torch.testing.assert_close(each, torch.tensor([-1.2 + 0.0, -1.2 + 1.6, both]))


def test_distances_turn_the_signs_around():
    embeddings, labels = torch.randn(6, 3, dtype=torch.float64), torch.tensor([0, 0, 0, 1, 1, 1])
    loss = SoftLiftedStructureLoss(
        1.0, 3.0, distance=distances.LpDistance(power=2), reducer=reducers.DoNothingReducer()
    )
    of_similarities = SoftLiftedStructureLoss(2.0, 6.0, reducer=reducers.DoNothingReducer())
    # on the unit sphere d^2 = 2 - 2 s: +2 from the positives' side and -2 from the negatives', each twice
    first = loss(embeddings, labels)["loss"]["losses"]
    second = of_similarities(embeddings, labels)["loss"]["losses"]
    torch.testing.assert_close(first, 2 * second)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]], ids=["no negatives", "no positives"])
def test_a_missing_side_adds_nothing(labels):
    embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], requires_grad=True)
    loss = SoftLiftedStructureLoss(1.0, 1.0)(embeddings, torch.tensor(labels))
    # similarities are 0, -1 and 0
    outer = math.log1p(math.e if labels[1] == 0 else 1 / math.e)
    torch.testing.assert_close(loss, torch.tensor(2 * (2 * outer + math.log(2)) / 3))
    loss.backward()
    assert torch.isfinite(embeddings.grad).all()


def test_anchors_that_lack_a_side_have_a_finite_gradient():
    embeddings, labels = torch.randn(5, 3, requires_grad=True), torch.tensor([0, 0, 1, 1, 2])
    SoftLiftedStructureLoss()(embeddings, labels).backward()
    assert torch.isfinite(embeddings.grad).all()


def test_no_pairs_at_all_give_zero():
    assert SoftLiftedStructureLoss()(torch.randn(1, 3), torch.tensor([0])) == 0


def test_gradient_is_the_derivative_of_the_value():
    embeddings = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1, 2, 3])
    assert torch.autograd.gradcheck(lambda x: SoftLiftedStructureLoss(2.0, 5.0)(x, labels), embeddings)


def test_references_stand_in_for_the_batch():
    embeddings, labels = torch.randn(5, 3), torch.tensor([0, 0, 1, 1, 2])
    references, reference_labels = torch.randn(7, 3), torch.tensor([0, 1, 2, 0, 1, 2, 2])
    loss = SoftLiftedStructureLoss()
    # itself left out by its index in both
    assert torch.equal(loss(embeddings, labels, None, embeddings, labels), loss(embeddings, labels))
    assert torch.isfinite(loss(embeddings, labels, None, references, reference_labels))


def test_the_reducer_gets_one_loss_an_anchor():
    embeddings, labels = torch.randn(6, 3), torch.tensor([0, 0, 1, 1, 2, 2])
    each = SoftLiftedStructureLoss(reducer=reducers.DoNothingReducer())(embeddings, labels)["loss"]["losses"]
    weights = torch.tensor([1.0, 2.0, 3.0])
    value = SoftLiftedStructureLoss(reducer=reducers.ClassWeightedReducer(weights))(embeddings, labels)
    torch.testing.assert_close(value, (each * weights[labels]).mean())


def test_expansion_makes_it_harder():
    embeddings, labels = torch.randn(8, 3), torch.arange(8) % 2
    loss = SoftLiftedStructureLoss()
    assert EmbeddingExpansion(loss)(embeddings, labels) > loss(embeddings, labels)


@pytest.mark.parametrize("name", ["positive_scale", "negative_scale"])
def test_arguments_out_of_range_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be above 0, but got 0"):
        SoftLiftedStructureLoss(**{name: 0})
