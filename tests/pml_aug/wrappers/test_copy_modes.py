"""How each loss is given the copies: every loss of PML, reducers and regularizers."""

from collections import Counter

import pytest
import torch
from iaa_cases import (
    COPIES,
    IN_BATCH,
    NUM_CLASSES,
    REFERENCES,
    REFUSED,
    SIZE,
    WORKING,
    batch,
    copies_by_hand,
    is_self_of,
    leave_self_out,
    noise_for,
    seeded,
    wrap,
)
from measuring import value_and_gradient
from pytorch_metric_learning import distances, losses, reducers, regularizers

from pml_aug.wrappers.workarounds import with_workarounds


def test_every_loss_of_pml_is_in_one_of_the_tables():
    kinds = {type(make()) for make in (WORKING | REFUSED).values()}
    of_pml = {
        kind
        for kind in vars(losses).values()
        if isinstance(kind, type) and issubclass(kind, losses.BaseMetricLossFunction)
    }
    abstract = {losses.BaseMetricLossFunction, losses.GenericPairLoss}
    assert of_pml - abstract <= kinds


@pytest.mark.parametrize("name", WORKING)
def test_a_loss_that_works_sees_the_copies_and_is_finite(name):
    embeddings, labels = batch()
    loss = WORKING[name]()
    value, gradient = value_and_gradient(wrap(loss), embeddings, labels)
    assert torch.isfinite(value) and torch.isfinite(gradient).all() and gradient.abs().sum() > 0
    baseline = value_and_gradient(WORKING[name](), embeddings, labels)[1]
    assert not torch.equal(gradient, baseline)


@pytest.mark.parametrize("name", REFUSED)
def test_a_loss_that_makes_no_sense_is_refused_by_its_class_and_the_reason(name):
    with pytest.raises(ValueError, match=f"IntraClassAdaptiveAugmentation cannot wrap {name}: it "):
        wrap(REFUSED[name]())


@pytest.mark.parametrize(
    "name",
    [name for name in REFERENCES if name not in ("NCALoss", "TripletMarginLoss of some", "DynamicSoftMarginLoss")],
)
def test_candidate_losses_get_the_pairs_that_pml_makes_without_self_copies(name, monkeypatch):
    embeddings, labels = batch(dtype=torch.float64)
    wrapper, noise = wrap(REFERENCES[name]()).double(), noise_for(embeddings)
    value, gradient = value_and_gradient(wrapper, embeddings, labels, noise=noise)

    leave_self_out(monkeypatch, is_self_of(len(labels), COPIES))

    def by_pml(rows, labels):
        points, classes = copies_by_hand(wrapper, rows, labels, noise)
        return wrapper.loss(rows, labels, None, torch.cat([rows, points]), torch.cat([labels, classes]))

    expected = value_and_gradient(by_pml, embeddings, labels)
    torch.testing.assert_close((value, gradient), expected, rtol=1e-10, atol=1e-12)


def test_nca_sums_over_all_but_self_copies():
    embeddings, labels = batch(dtype=torch.float64)
    wrapper, noise = wrap(losses.NCALoss(softmax_scale=2)).double(), noise_for(embeddings)
    value = wrapper(embeddings, labels, noise=noise)
    points, classes = copies_by_hand(wrapper, embeddings, labels, noise)
    rows = torch.nn.functional.normalize(torch.cat([embeddings, points]))
    likeness = torch.exp(-2 * torch.cdist(rows[: len(labels)], rows).square()) * (1 - is_self_of(len(labels), COPIES))
    same = labels[:, None] == torch.cat([labels, classes])
    expected = -torch.log((likeness * same).sum(dim=1) / likeness.sum(dim=1)).mean()
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("swap", [False, True])
def test_triplets_are_the_same_in_an_enlarged_batch(swap):
    embeddings, labels = batch(dtype=torch.float64)
    wrapper = wrap(losses.TripletMarginLoss(margin=0.3, swap=swap, reducer=reducers.SumReducer())).double()
    noise = noise_for(embeddings)
    value = wrapper(embeddings, labels, noise=noise)
    points, classes = copies_by_hand(wrapper, embeddings, labels, noise)
    rows, classes = torch.cat([embeddings, points]), torch.cat([labels, classes])
    distance, origin = distances.LpDistance()(rows), torch.arange(len(labels)).repeat(COPIES + 1)
    expected = torch.zeros((), dtype=torch.float64)
    for anchor in range(len(labels)):
        for positive in range(len(rows)):
            if classes[positive] != labels[anchor] or origin[positive] == anchor:
                continue
            negatives = classes != labels[anchor]
            far = distance[anchor, negatives]
            if swap:
                far = torch.minimum(far, distance[positive, negatives])
            expected += (distance[anchor, positive] - far + 0.3).relu().sum()
    torch.testing.assert_close(value, expected)


def test_threshold_consistency_by_hand():
    embeddings, labels = batch(dtype=torch.float64)
    wrapper = wrap(losses.ThresholdConsistentMarginLoss(margin_plus=0.9, margin_minus=-0.1)).double()
    noise = noise_for(embeddings)
    value = wrapper(embeddings, labels, noise=noise)
    points, classes = copies_by_hand(wrapper, embeddings, labels, noise)
    rows, classes = torch.cat([embeddings, points]), torch.cat([labels, classes])
    likeness = distances.CosineSimilarity()(embeddings, rows)
    same = labels[:, None] == classes
    positive = likeness[same & ~is_self_of(len(labels), COPIES).bool()]
    negative = likeness[~same]
    expected = (0.9 - positive)[positive <= 0.9].mean() + (negative + 0.1)[negative >= -0.1].mean()
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("name", IN_BATCH)
def test_losses_without_anchors_get_copies_as_samples(name):
    embeddings, labels = batch(dtype=torch.float64)
    loss = IN_BATCH[name]().double()
    wrapper, noise = wrap(loss).double(), noise_for(embeddings)
    value = wrapper(embeddings, labels, noise=noise)
    points, classes = copies_by_hand(wrapper, embeddings, labels, noise)
    with with_workarounds(loss):
        expected = loss(torch.cat([embeddings, points]), torch.cat([labels, classes]))
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12)


def test_some_triplets_are_so_many_an_anchor_and_no_self_copies():
    loss = losses.TripletMarginLoss(triplets_per_anchor=40, reducer=reducers.DoNothingReducer())
    embeddings, labels = torch.randn(5, SIZE), torch.tensor([0, 0, 0, 1, 1])
    anchor, positive, negative = wrap(loss)(embeddings, labels)["loss"]["indices"]
    assert Counter(anchor.tolist()) == dict.fromkeys(range(5), 40)
    assert (positive % 5 != anchor).all() and (labels[positive % 5] == labels[anchor]).all()
    assert (labels[negative % 5] != labels[anchor]).all()
    drawn = Counter(positive[anchor == 0].tolist())
    assert drawn.keys() == {1, 2, 6, 7, 11, 12} and max(drawn.values()) < 20


@pytest.mark.parametrize("loss", [losses.ContrastiveLoss, losses.TripletMarginLoss, losses.MultiSimilarityLoss])
@pytest.mark.parametrize(
    "reducer",
    [
        reducers.MeanReducer(),
        reducers.SumReducer(),
        reducers.AvgNonZeroReducer(),
        reducers.ThresholdReducer(low=0.1),
        reducers.ClassWeightedReducer(torch.arange(1.0, NUM_CLASSES + 1)),
    ],
    ids=lambda reducer: type(reducer).__name__,
)
def test_reducers_of_the_wrapped_loss_are_used(loss, reducer):
    value, gradient = value_and_gradient(wrap(loss(reducer=reducer)), *batch())
    assert torch.isfinite(value) and torch.isfinite(gradient).all()


def test_a_reducer_that_has_no_place_for_copies_is_refused():
    with pytest.raises(ValueError, match="cannot wrap ContrastiveLoss with a PerAnchorReducer: it lays pairs out"):
        wrap(losses.ContrastiveLoss(reducer=reducers.PerAnchorReducer()))
    wrap(losses.ProxyNCALoss(NUM_CLASSES, SIZE, reducer=reducers.PerAnchorReducer()))(*batch())


@pytest.mark.parametrize(
    "make",
    [
        losses.ContrastiveLoss,
        losses.HistogramLoss,
        lambda **options: losses.ProxyAnchorLoss(NUM_CLASSES, SIZE, **options),
    ],
)
def test_embedding_regularizer_sees_the_batch_itself(make):
    embeddings, labels = batch()
    regularizer = regularizers.LpRegularizer()
    loss = make(embedding_regularizer=regularizer)
    wrapper = wrap(loss)
    added = seeded(wrapper, embeddings, labels)
    loss.embedding_reg_weight = 0
    added = added - seeded(wrapper, embeddings, labels)
    torch.testing.assert_close(added, regularizer(embeddings), rtol=1e-4, atol=1e-5)
    assert loss.embedding_regularizer is regularizer
