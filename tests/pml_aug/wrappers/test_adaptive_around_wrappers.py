"""Intra-class Adaptive Augmentation around Embedding Expansion and Proxy Synthesis."""

import pytest
import torch
from iaa_cases import NUM_CLASSES, SIZE, batch, copies_by_hand, noise_for, wrap
from measuring import value_and_gradient
from pytorch_metric_learning import losses, miners, reducers

from pml_aug.wrappers import (
    DenselyAnchoredSampling,
    EmbeddingExpansion,
    LossWrapper,
    MemoryBasedVirtualClasses,
    ProxySynthesis,
    SphericalEmbeddingExpansion,
    SymmetricalSynthesis,
)


@pytest.mark.parametrize("miner", [None, miners.MultiSimilarityMiner(), miners.BatchHardMiner()])
def test_around_an_expansion_without_points_it_is_what_it_is_around_the_loss(miner):
    embeddings, labels = batch()
    loss, noise = losses.MultiSimilarityLoss(), noise_for(embeddings)
    nested = wrap(EmbeddingExpansion(loss, num_points=0, miner=miner))
    actual = value_and_gradient(nested, embeddings, labels, noise=noise)
    torch.testing.assert_close(actual, value_and_gradient(wrap(loss, miner), embeddings, labels, noise=noise))
    assert nested.loss.miner is miner


@pytest.mark.parametrize(
    "miner", [None, miners.MultiSimilarityMiner(), miners.BatchHardMiner(), miners.PairMarginMiner()]
)
def test_an_expansion_expands_the_copies_and_pairs_no_row_with_its_own(miner):
    embeddings, labels = batch()
    loss = losses.ContrastiveLoss(reducer=reducers.DoNothingReducer())
    expansion = EmbeddingExpansion(loss, miner=miner)
    nested, noise = wrap(expansion), noise_for(embeddings)
    found = nested(embeddings, labels, noise=noise)
    anchor, positive = found["pos_loss"]["indices"]
    assert len(anchor) > 0 and (positive % len(labels) != anchor).all()
    # the points between copies reach the originals of a class too
    nearest = [each["neg_loss"]["losses"].max() for each in (found, expansion(embeddings, labels))]
    assert nearest[0] > nearest[1]


def test_an_expansion_of_an_anchored_or_a_ranking_loss_works_too():
    for loss in (losses.HistogramLoss(), losses.TripletMarginLoss(swap=True), losses.FastAPLoss()):
        for miner in (None, miners.BatchHardMiner()):
            value, gradient = value_and_gradient(wrap(EmbeddingExpansion(loss, miner=miner)), *batch())
            assert torch.isfinite(value) and torch.isfinite(gradient).all()


def test_around_a_synthesis_without_synthetic_classes_it_is_what_it_is_around_the_loss():
    embeddings, labels = batch()
    loss, noise = losses.ProxyAnchorLoss(NUM_CLASSES, SIZE), noise_for(embeddings)
    nested = wrap(ProxySynthesis(loss, ratio=0))
    actual = value_and_gradient(nested, embeddings, labels, noise=noise)
    torch.testing.assert_close(actual, value_and_gradient(wrap(loss), embeddings, labels, noise=noise))


def test_a_synthesis_mixes_copies_too():
    embeddings, labels = batch()
    loss, noise = ProxySynthesis(losses.NormalizedSoftmaxLoss(NUM_CLASSES, SIZE), pairing="roll"), noise_for(embeddings)
    wrapper = wrap(loss)
    points, classes = copies_by_hand(wrapper, embeddings, labels, noise)
    expected = loss(torch.cat([embeddings, points]), torch.cat([labels, classes]), mixing=0.3)
    torch.testing.assert_close(wrapper(embeddings, labels, noise=noise, mixing=0.3), expected)


@pytest.mark.parametrize("miner", [None, miners.BatchHardMiner()])
def test_mirrors_of_the_copies_are_compared_too_and_no_row_is_paired_with_its_own(miner):
    embeddings, labels = batch()
    loss = losses.ContrastiveLoss(reducer=reducers.DoNothingReducer())
    nested, noise = wrap(SymmetricalSynthesis(loss, miner=miner)), noise_for(embeddings)
    found = nested(embeddings, labels, noise=noise)
    anchor, positive = found["pos_loss"]["indices"]
    assert len(anchor) > 0 and (positive % len(labels) != anchor).all()
    rows = SymmetricalSynthesis(loss, miner=miner, points="none")
    others = wrap(rows)(embeddings, labels, noise=noise)
    nearest = [each["neg_loss"]["losses"].max() for each in (found, others)]
    assert nearest[0] >= nearest[1]


@pytest.mark.parametrize("kind", [MemoryBasedVirtualClasses, SphericalEmbeddingExpansion])
def test_wrappers_around_proxy_losses_take_the_copies_for_rows(kind):
    embeddings, labels = batch()
    options = {"step_gap": 0} if kind is MemoryBasedVirtualClasses else {"num_points": 2}
    torch.manual_seed(0)
    loss, noise = kind(losses.ProxyAnchorLoss(NUM_CLASSES, SIZE), **options), noise_for(embeddings)
    other = kind(losses.ProxyAnchorLoss(NUM_CLASSES, SIZE), **options)
    other.load_state_dict(loss.state_dict())
    wrapper = wrap(loss)
    points, classes = copies_by_hand(wrapper, embeddings, labels, noise)
    rows, labels_of_all = torch.cat([embeddings, points]), torch.cat([labels, classes])
    for step in range(2):
        value = wrapper(embeddings, labels, noise=noise, generator=torch.Generator().manual_seed(step))
        expected = other(rows, labels_of_all, generator=torch.Generator().manual_seed(step))
        torch.testing.assert_close(value, expected)
    assert loss.num_synthetic > 0


def test_a_generator_serves_copies_and_the_synthesis_inside():
    wrapper, (embeddings, labels) = wrap(ProxySynthesis(losses.ProxyAnchorLoss(NUM_CLASSES, SIZE))), batch()
    first, second, other = (
        wrapper(embeddings, labels, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, second) and not torch.equal(first, other)


class OtherWrapper(LossWrapper):
    """A wrapper that IAA knows nothing of."""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: wrap(wrap(losses.ContrastiveLoss())), "cannot wrap IntraClassAdaptiveAugmentation: of the wrappers"),
        (lambda: wrap(OtherWrapper(losses.ContrastiveLoss())), "put OtherWrapper around IntraClass"),
        (
            lambda: wrap(DenselyAnchoredSampling(losses.ContrastiveLoss(), NUM_CLASSES, SIZE)),
            "goes around EmbeddingExpansion, SymmetricalSynthesis, .* and SphericalEmbeddingExpansion; put Dense"
            "lyAnchoredSampling around the baseline loss alone",
        ),
        (
            lambda: wrap(EmbeddingExpansion(losses.ContrastiveLoss()), miners.BatchHardMiner()),
            "takes no `miner` around EmbeddingExpansion: .*give the miner to it",
        ),
        (
            lambda: wrap(EmbeddingExpansion(losses.NCALoss())),
            "cannot wrap NCALoss in EmbeddingExpansion: its positives",
        ),
        (lambda: wrap(losses.PNPLoss(), miners.BatchHardMiner()), "takes no `miner` around PNPLoss"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
