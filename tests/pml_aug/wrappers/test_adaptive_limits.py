"""Where Intra-class Adaptive Augmentation is the baseline loss, or stays finite."""

import pytest
import torch
from iaa_cases import COPIES, NUM_CLASSES, SIZE, batch, wrap
from measuring import value_and_gradient
from pytorch_metric_learning import distances, losses, miners, reducers

from pml_aug.wrappers import EmbeddingExpansion, ProxySynthesis


def baseline_cases():
    expansion = EmbeddingExpansion(losses.TripletMarginLoss(), miner=miners.BatchHardMiner())
    return {
        "pairs": (losses.MultiSimilarityLoss(), None),
        "pairs with a miner": (losses.MultiSimilarityLoss(), miners.MultiSimilarityMiner()),
        "triplets with a miner": (losses.TripletMarginLoss(), miners.TripletMarginMiner()),
        "proxies": (losses.ProxyAnchorLoss(NUM_CLASSES, SIZE), None),
        "expansion": (expansion, None),
        "synthesis": (ProxySynthesis(losses.ProxyAnchorLoss(NUM_CLASSES, SIZE), pairing="roll"), None),
    }


@pytest.mark.parametrize("switched_off", [{"refreshed": False}, {"strength": 0.0}, {"num_copies": 0}])
@pytest.mark.parametrize("case", baseline_cases())
def test_switched_off_it_is_the_baseline_loss_to_the_last_bit(case, switched_off):
    baseline, miner = baseline_cases()[case]
    embeddings, labels = batch()
    wrapper = wrap(baseline, miner, **switched_off)
    torch.manual_seed(3)
    actual = value_and_gradient(wrapper, embeddings, labels)
    torch.manual_seed(3)
    expected = value_and_gradient(baseline, embeddings, labels, None if miner is None else miner(embeddings, labels))
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(actual, expected, strict=True))


def test_without_variance_copies_are_duplicates_of_the_other_rows():
    embeddings, labels = batch(dtype=torch.float64)
    loss = losses.ContrastiveLoss(reducer=reducers.SumReducer())
    wrapper = wrap(loss).double()
    wrapper.statistics.variance.zero_()
    value, gradient = value_and_gradient(wrapper, embeddings, labels)
    bare_value, bare_gradient = value_and_gradient(loss, embeddings, labels)
    torch.testing.assert_close(value, (COPIES + 1) * bare_value)
    torch.testing.assert_close(gradient, (COPIES + 1) * bare_gradient)


@pytest.mark.parametrize(
    ("embeddings", "labels"),
    [
        (torch.randn(4, SIZE), torch.zeros(4, dtype=torch.long)),
        (torch.randn(4, SIZE), torch.arange(4)),
        (torch.randn(1, SIZE), torch.zeros(1, dtype=torch.long)),
        (torch.ones(4, SIZE), torch.tensor([0, 0, 1, 1])),
        (torch.zeros(4, SIZE), torch.tensor([0, 0, 1, 1])),
        (torch.zeros(0, SIZE), torch.zeros(0, dtype=torch.long)),
    ],
    ids=["one class", "one sample a class", "one row", "duplicates", "zero vectors", "no row"],
)
@pytest.mark.parametrize("with_miner", [False, True])
def test_degenerate_batches_have_finite_losses_and_gradients(embeddings, labels, with_miner):
    cosine = distances.CosineSimilarity()
    for loss in (
        losses.MultiSimilarityLoss(),
        losses.ContrastiveLoss(distance=cosine),
        losses.NCALoss(),
        losses.TripletMarginLoss(),
    ):
        wrapper = wrap(loss, miners.MultiSimilarityMiner() if with_miner else None)
        value, gradient = value_and_gradient(wrapper, embeddings, labels)
        assert torch.isfinite(value) and torch.isfinite(gradient).all()


def test_a_row_without_a_positive_or_a_negative_costs_nothing_where_the_miner_asks_for_both():
    wrapper = wrap(losses.MultiSimilarityLoss(), miners.MultiSimilarityMiner())
    for labels in (torch.arange(4), torch.zeros(4, dtype=torch.long)):
        value, gradient = value_and_gradient(wrapper, torch.randn(4, SIZE), labels)
        assert value == 0 and not gradient.any()
