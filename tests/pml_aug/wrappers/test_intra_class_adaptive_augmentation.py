"""Intra-class Adaptive Augmentation: recorded numbers, hand-made cases, gradients, cost."""

import copy

import pytest
import torch
from iaa_cases import COPIES, NUM_CLASSES, SIZE, batch, noise_for, wrap
from measuring import value_and_gradient
from pytorch_metric_learning import distances, losses, miners, reducers

from pml_aug.wrappers import IntraClassAdaptiveAugmentation

# ---- recorded numbers

OFFICIAL = {
    "MS": (
        lambda: losses.MultiSimilarityLoss(alpha=2, beta=40, base=0.5, reducer=reducers.MeanReducer()),
        lambda: miners.MultiSimilarityMiner(epsilon=0.1),
    ),
    "Contrastive": (
        lambda: losses.ContrastiveLoss(
            pos_margin=0.8, neg_margin=0.5, distance=distances.CosineSimilarity(), reducer=reducers.SumReducer()
        ),
        lambda: None,
    ),
}


@pytest.mark.parametrize("kind", ["plain", "origanchor"])
@pytest.mark.parametrize("loss_name", OFFICIAL)
@pytest.mark.parametrize("name", [f"iaasynth_{number:02d}" for number in range(4)])
def test_around_the_losses_of_the_official_code_it_is_the_recorded_loss(golden, name, loss_name, kind):
    file = golden(name)
    meta = file.meta
    loss, miner = (make() for make in OFFICIAL[loss_name])
    wrapper = IntraClassAdaptiveAugmentation(
        loss,
        meta["class_num"],
        meta["feature_num"],
        miner,
        meta["lamda"],
        meta["aug_num"],
        neighbor_correction=False,
        noise_std="repeated_sqrt",
    ).double()
    if kind == "origanchor":
        wrapper.statistics.variance.copy_(file.covariance)
        wrapper.statistics.count.fill_(1)
    value, gradient = value_and_gradient(wrapper, file.features, file.labels, noise=file.noise)
    scale = len(file.labels) if loss_name == "Contrastive" else 1  # the official sum of pairs is divided by the rows
    recorded = getattr(file, f"loss_{loss_name}_{kind}"), getattr(file, f"grad_features_{loss_name}_{kind}")
    torch.testing.assert_close(value / scale, recorded[0], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradient / scale, recorded[1], rtol=1e-10, atol=1e-12)


# ---- by hand, in two dimensions


def one_dimensional_spread():
    """Two classes on two axes; copies vary along the first only, by 1 at strength 1."""
    wrapper = IntraClassAdaptiveAugmentation(
        losses.ContrastiveLoss(
            pos_margin=0,
            neg_margin=100,
            distance=distances.LpDistance(normalize_embeddings=False),
            reducer=reducers.DoNothingReducer(),
        ),
        num_classes=2,
        embedding_size=2,
        strength=1.0,
        num_copies=1,
    )
    wrapper.statistics.update(
        torch.tensor([[-1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 0, 1, 1])
    )
    return wrapper


def test_pairs_are_those_of_originals_with_everything_but_self_copies():
    embeddings, labels = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 3.0]]), torch.tensor([0, 0, 1])
    noise = torch.tensor([[[1.0, 5.0], [2.0, 5.0], [-4.0, 5.0]]])  # copies: (1, 0), (6, 0), (-4, 3)
    found = one_dimensional_spread()(embeddings, labels, noise=noise)
    positive = found["pos_loss"]
    assert [pair.tolist() for pair in positive["indices"]] == [[0, 1, 0, 1], [1, 0, 4, 3]]
    torch.testing.assert_close(positive["losses"], torch.tensor([4.0, 4.0, 6.0, 3.0]))
    negative = found["neg_loss"]
    assert [pair.tolist() for pair in negative["indices"]] == [[0, 1, 2, 2, 0, 1, 2, 2], [2, 2, 0, 1, 5, 5, 3, 4]]
    torch.testing.assert_close(100 - negative["losses"][[0, 4]], torch.tensor([3.0, 5.0]))


def test_a_row_alone_in_its_class_has_no_positive():
    found = one_dimensional_spread()(torch.tensor([[0.0, 0.0], [4.0, 0.0]]), torch.tensor([0, 1]))
    assert len(found["pos_loss"]["indices"][0]) == 0
    assert len(found["neg_loss"]["indices"][0]) == 4


def test_strength_multiplies_the_variance():
    wrapper = one_dimensional_spread()
    wrapper.strength = 4.0
    embeddings, labels = torch.tensor([[0.0, 0.0], [4.0, 0.0]]), torch.tensor([0, 1])
    found = wrapper(embeddings, labels, noise=torch.ones(1, 2, 2))
    # the copy of (4, 0) lies at (6, 0), two standard deviations away
    torch.testing.assert_close(100 - found["neg_loss"]["losses"][2], torch.tensor(6.0))


def test_num_synthetic_counts_the_copies():
    wrapper = wrap(losses.TripletMarginLoss(collect_stats=True))
    wrapper.collect_stats = True
    wrapper(*batch())
    assert wrapper.num_synthetic == 12 * COPIES


# ---- gradients


@pytest.mark.parametrize(
    "loss",
    [
        losses.MultiSimilarityLoss(),
        losses.NTXentLoss(),
        losses.NCALoss(),
        losses.ThresholdConsistentMarginLoss(),
        losses.NormalizedSoftmaxLoss(NUM_CLASSES, SIZE),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_gradients_are_right(loss):
    embeddings, labels = batch(size=6, num_classes=3, dtype=torch.float64)
    wrapper, noise = wrap(loss).double(), noise_for(embeddings)
    assert torch.autograd.gradcheck(lambda rows: wrapper(rows, labels, noise=noise), embeddings.requires_grad_())


def test_nothing_flows_into_the_statistics():
    wrapper = wrap(losses.MultiSimilarityLoss())
    before = copy.deepcopy(wrapper.statistics.state_dict())
    value_and_gradient(wrapper, *batch())
    for name in ("mean", "variance", "count"):
        assert torch.equal(wrapper.statistics.state_dict()[name], before[name])
