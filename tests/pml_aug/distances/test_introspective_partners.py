"""Losses, miners and memory of the host library that take an introspective distance, and those that refuse it."""

import pytest
import torch
from introspective_cases import BOTH, BY_DISTANCE, BY_ROWS, BY_SIMILARITY, C, D, N, labels, rows
from pytorch_metric_learning import losses, miners

from pml_aug.distances import IntrospectiveDistance, IntrospectiveSimilarity

BY_NEITHER = {
    "AngularLoss": losses.AngularLoss,
    "DynamicSoftMarginLoss": losses.DynamicSoftMarginLoss,
    "P2SGradLoss": lambda **options: losses.P2SGradLoss(D, C, **options),
    "SphereFaceLoss": lambda **options: losses.SphereFaceLoss(C, D, **options),
    "SignalToNoiseRatioContrastiveLoss": losses.SignalToNoiseRatioContrastiveLoss,
    "ThresholdConsistentMarginLoss": losses.ThresholdConsistentMarginLoss,
}
WITHOUT_LABELS = {"ManifoldLoss": lambda **options: losses.ManifoldLoss(l=2 * D, K=C, **options)}
WITHOUT_DISTANCE = {"VICRegLoss": losses.VICRegLoss}  # PML's own refusal
MINERS = {
    "BatchEasyHardMiner": miners.BatchEasyHardMiner,
    "BatchHardMiner": miners.BatchHardMiner,
    "HDCMiner": miners.HDCMiner,
    "MultiSimilarityMiner": miners.MultiSimilarityMiner,
    "PairMarginMiner": miners.PairMarginMiner,
    "TripletMarginMiner": miners.TripletMarginMiner,
    "UniformHistogramMiner": lambda **options: miners.UniformHistogramMiner(num_bins=4, pos_per_bin=2, **options),
}
MINERS_BY_DISTANCE = {
    "AngularMiner": miners.AngularMiner,
    "DistanceWeightedMiner": miners.DistanceWeightedMiner,
}


# ---- losses


def feels_the_uncertainty(loss, embeddings, classes):
    """Value and gradient are finite, both parts receive gradient, and another uncertainty gives another value."""
    embeddings = embeddings.clone().requires_grad_()
    value = loss(embeddings, classes)
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(embeddings.grad).all()
    assert embeddings.grad[:, :D].abs().max() > 0 and embeddings.grad[:, D:].abs().max() > 0
    less = embeddings.detach().clone()
    less[:, D:] /= 2
    assert loss(less, classes) != value


@pytest.mark.parametrize("name", BY_ROWS | BY_SIMILARITY)
def test_similarity_reaches_every_loss_that_takes_one(name):
    torch.manual_seed(3)
    loss = (BY_ROWS | BY_SIMILARITY)[name](distance=IntrospectiveSimilarity(D, offset=0.0))
    feels_the_uncertainty(loss, rows(uncertainty=0.3), labels())


@pytest.mark.parametrize("name", BY_ROWS | BY_DISTANCE)
def test_distance_reaches_every_loss_that_takes_one(name):
    torch.manual_seed(3)
    feels_the_uncertainty((BY_ROWS | BY_DISTANCE)[name](distance=IntrospectiveDistance(D)), rows(), labels())


def test_manifold_loss_learns_the_uncertainty_of_its_proxies():
    loss = losses.ManifoldLoss(l=2 * D, K=C, distance=IntrospectiveSimilarity(D))
    embeddings = rows(uncertainty=0.3).requires_grad_()
    loss(embeddings).backward()
    assert torch.isfinite(embeddings.grad).all() and embeddings.grad[:, D:].abs().max() > 0
    assert loss.proxies.grad[:, D:].abs().max() > 0


def test_proxies_of_both_parts_learn_their_uncertainty():
    loss = losses.ProxyAnchorLoss(C, 2 * D, distance=IntrospectiveSimilarity(D))
    loss(rows(), labels()).backward()
    assert loss.proxies.grad[:, D:].abs().max() > 0


def test_two_classes_are_right():
    loss = losses.ProxyAnchorLoss(2, D, distance=IntrospectiveSimilarity(D))
    embeddings, classes = rows(4), torch.tensor([0, 1, 1, 0])
    similarity = loss.distance(embeddings, loss.proxies).detach()
    expected = torch.tensor(0.0)
    for proxy in range(2):
        own, other = similarity[classes == proxy, proxy], similarity[classes != proxy, proxy]
        expected += torch.log(1 + torch.exp(-32 * (own - 0.1)).sum()) / 2
        expected += torch.log(1 + torch.exp(32 * (other + 0.1)).sum()) / 2
    torch.testing.assert_close(loss(embeddings, classes).detach(), expected)


def test_no_loss_is_forgotten():
    known = BY_ROWS | BY_SIMILARITY | BY_DISTANCE | BY_NEITHER | WITHOUT_LABELS | WITHOUT_DISTANCE
    made = {
        name
        for name in dir(losses)
        if name.endswith("Loss") and issubclass(getattr(losses, name), losses.BaseMetricLossFunction)
    }
    assert made - {"GenericPairLoss", "SelfSupervisedLoss"} == set(known)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("name", BY_NEITHER)
def test_losses_that_would_misuse_it_refuse_it(name, kind):
    with pytest.raises(ValueError, match=f"{name} cannot use {kind.__name__}: it"):
        BY_NEITHER[name](distance=kind(D))


@pytest.mark.parametrize("name", BY_SIMILARITY | WITHOUT_LABELS)
def test_losses_by_similarity_refuse_the_distance(name):
    with pytest.raises(ValueError, match=f"{name} cannot use IntrospectiveDistance: .*use IntrospectiveSimilarity"):
        (BY_SIMILARITY | WITHOUT_LABELS)[name](distance=IntrospectiveDistance(D))


@pytest.mark.parametrize("name", BY_DISTANCE | MINERS_BY_DISTANCE)
def test_losses_and_miners_by_distance_refuse_the_similarity(name):
    with pytest.raises(ValueError, match=f"{name} cannot use IntrospectiveSimilarity: .*use IntrospectiveDistance"):
        (BY_DISTANCE | MINERS_BY_DISTANCE)[name](distance=IntrospectiveSimilarity(D))


def test_other_distances_of_the_refusing_losses_pass():
    assert losses.AngularLoss()(torch.randn(N, D), labels()) > 0


# ---- miners and memory


@pytest.mark.parametrize(
    "name, kind",
    [(name, kind) for kind in BOTH for name in MINERS] + [(name, IntrospectiveDistance) for name in MINERS_BY_DISTANCE],
)
def test_miners_find_tuples_by_it(name, kind):
    embeddings, classes = rows(uncertainty=0.1), labels()
    tuples = (MINERS | MINERS_BY_DISTANCE)[name](distance=kind(D))(embeddings, classes)
    assert len(tuples[0]) > 0
    loss = losses.TripletMarginLoss(distance=kind(D))
    assert torch.isfinite(loss(embeddings, classes, tuples))


def test_the_hardest_negative_is_the_doubtful_one():
    semantic = torch.eye(4)  # all equally far apart
    uncertainty = torch.tensor([[0.0], [0.0], [0.1], [1.0]]).expand(4, 4)
    embeddings, classes = torch.cat([semantic, uncertainty], dim=1), torch.tensor([0, 0, 1, 2])
    anchors, _, negatives = miners.BatchHardMiner(distance=IntrospectiveDistance(4))(embeddings, classes)
    assert anchors.tolist() == [0, 1] and negatives.tolist() == [3, 3]


@pytest.mark.parametrize("kind", BOTH)
def test_cross_batch_memory_holds_both_parts(kind):
    loss = losses.ContrastiveLoss(distance=kind(D))
    memory = losses.CrossBatchMemory(loss, embedding_size=2 * D, memory_size=2 * N)
    first, second = rows(), rows()
    memory(first, labels())
    value = memory(second, labels())
    assert torch.equal(memory.embedding_memory[:N], first) and torch.isfinite(value)
