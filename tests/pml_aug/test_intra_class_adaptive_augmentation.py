"""Intra-class Adaptive Augmentation: recorded numbers, hand-made cases, limits, every loss and miner, nesting."""

import copy
import io
import pickle
import re
from collections import Counter

import pytest
import torch
from pytorch_metric_learning import distances, losses, miners, reducers, regularizers
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu
from torch.utils._python_dispatch import TorchDispatchMode

from pml_aug.losses import BinomialDevianceLoss, IntrospectiveSoftmaxLoss, SoftLiftedStructureLoss
from pml_aug.miners import ExpansionMiner
from pml_aug.wrappers import (
    CrossBatchMemory,
    EmbeddingExpansion,
    IntraClassAdaptiveAugmentation,
    LossWrapper,
    ProxySynthesis,
)
from pml_aug.wrappers.candidates import Candidates
from pml_aug.wrappers.own_copies import mined
from pml_aug.wrappers.prepared import prepared

NUM_CLASSES, SIZE, COPIES = 6, 8, 2


def batch(size=12, num_classes=4, dtype=torch.float32):
    return torch.randn(size, SIZE, dtype=dtype), torch.arange(size) % num_classes


def wrap(loss, miner=None, refreshed=True, **options):
    wrapper = IntraClassAdaptiveAugmentation(
        loss, NUM_CLASSES, SIZE, miner, **{"num_copies": COPIES, "neighbor_correction": False} | options
    )
    if refreshed:
        generator = torch.Generator().manual_seed(5)
        wrapper.refresh(0.3 * torch.randn(60, SIZE, generator=generator), torch.arange(60) % NUM_CLASSES)
    return wrapper


def noise_for(embeddings, copies=COPIES):
    return torch.randn(copies, *embeddings.shape, dtype=embeddings.dtype)


def value_and_gradient(loss, embeddings, labels, *rest, **draws):
    embeddings = embeddings.clone().requires_grad_()
    value = loss(embeddings, labels, *rest, **draws)
    value.backward()
    return value.detach(), embeddings.grad


def seeded(loss, *arguments):
    torch.manual_seed(7)
    return loss(*arguments)


def copies_by_hand(wrapper, embeddings, labels, noise):
    std = (wrapper.strength * wrapper.statistics.variance[labels]).sqrt()
    return torch.cat([embeddings + std * draw for draw in noise]), labels.repeat(len(noise))


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
        wrapper.statistics.is_empty = False
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


def test_pairs_are_those_of_originals_with_everything_but_their_own_copies():
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


# ---- limits


def bare_cases():
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
@pytest.mark.parametrize("case", bare_cases())
def test_switched_off_it_is_the_bare_loss_to_the_last_bit(case, switched_off):
    bare, miner = bare_cases()[case]
    embeddings, labels = batch()
    wrapper = wrap(bare, miner, **switched_off)
    torch.manual_seed(3)
    actual = value_and_gradient(wrapper, embeddings, labels)
    torch.manual_seed(3)
    expected = value_and_gradient(bare, embeddings, labels, None if miner is None else miner(embeddings, labels))
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
    ],
    ids=["one class", "one sample a class", "one row", "duplicates", "zero vectors"],
)
@pytest.mark.parametrize("with_miner", [False, True])
def test_degenerate_batches_have_finite_losses_and_gradients(embeddings, labels, with_miner):
    for loss in (losses.MultiSimilarityLoss(), losses.ContrastiveLoss(), losses.NCALoss(), losses.TripletMarginLoss()):
        wrapper = wrap(loss, miners.MultiSimilarityMiner() if with_miner else None)
        value, gradient = value_and_gradient(wrapper, embeddings, labels)
        assert torch.isfinite(value) and torch.isfinite(gradient).all()


def test_a_row_without_a_positive_or_a_negative_costs_nothing_where_the_miner_asks_for_both():
    wrapper = wrap(losses.MultiSimilarityLoss(), miners.MultiSimilarityMiner())
    for labels in (torch.arange(4), torch.zeros(4, dtype=torch.long)):
        value, gradient = value_and_gradient(wrapper, torch.randn(4, SIZE), labels)
        assert value == 0 and not gradient.any()


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


# ---- every loss

CANDIDATES = {
    "AngularLoss": losses.AngularLoss,
    "BinomialDevianceLoss": BinomialDevianceLoss,
    "CircleLoss": losses.CircleLoss,
    "ContrastiveLoss": losses.ContrastiveLoss,
    "DynamicSoftMarginLoss": losses.DynamicSoftMarginLoss,
    "GeneralizedLiftedStructureLoss": losses.GeneralizedLiftedStructureLoss,
    "IntraPairVarianceLoss": losses.IntraPairVarianceLoss,
    "LiftedStructureLoss": losses.LiftedStructureLoss,
    "MarginLoss": losses.MarginLoss,
    "MarginLoss by class": lambda: losses.MarginLoss(learn_beta=True, num_classes=NUM_CLASSES, nu=0.1),
    "MultiSimilarityLoss": losses.MultiSimilarityLoss,
    "NCALoss": losses.NCALoss,
    "NTXentLoss": losses.NTXentLoss,
    "SignalToNoiseRatioContrastiveLoss": losses.SignalToNoiseRatioContrastiveLoss,
    "SoftLiftedStructureLoss": SoftLiftedStructureLoss,
    "SupConLoss": losses.SupConLoss,
    "TripletMarginLoss": losses.TripletMarginLoss,
    "TripletMarginLoss of some": lambda: losses.TripletMarginLoss(triplets_per_anchor=5),
    "TupletMarginLoss": losses.TupletMarginLoss,
}
ANCHORED = {
    "HistogramLoss": losses.HistogramLoss,
    "ThresholdConsistentMarginLoss": losses.ThresholdConsistentMarginLoss,
    "TripletMarginLoss(swap=True)": lambda: losses.TripletMarginLoss(swap=True),
}
SAMPLES = {
    "ArcFaceLoss": lambda: losses.ArcFaceLoss(NUM_CLASSES, SIZE),
    "CosFaceLoss": lambda: losses.CosFaceLoss(NUM_CLASSES, SIZE),
    "FastAPLoss": losses.FastAPLoss,
    "IntrospectiveSoftmaxLoss": lambda: IntrospectiveSoftmaxLoss(NUM_CLASSES, SIZE, 3),
    "LargeMarginSoftmaxLoss": lambda: losses.LargeMarginSoftmaxLoss(NUM_CLASSES, SIZE),
    "NormalizedSoftmaxLoss": lambda: losses.NormalizedSoftmaxLoss(NUM_CLASSES, SIZE),
    "P2SGradLoss": lambda: losses.P2SGradLoss(SIZE, NUM_CLASSES),
    "PNPLoss": losses.PNPLoss,
    "ProxyAnchorLoss": lambda: losses.ProxyAnchorLoss(NUM_CLASSES, SIZE),
    "ProxyNCALoss": lambda: losses.ProxyNCALoss(NUM_CLASSES, SIZE),
    "RankedListLoss": lambda: losses.RankedListLoss(margin=0.4, Tn=5),
    "SmoothAPLoss": losses.SmoothAPLoss,
    "SoftTripleLoss": lambda: losses.SoftTripleLoss(NUM_CLASSES, SIZE),
    "SphereFaceLoss": lambda: losses.SphereFaceLoss(NUM_CLASSES, SIZE),
    "SubCenterArcFaceLoss": lambda: losses.SubCenterArcFaceLoss(num_classes=NUM_CLASSES, embedding_size=SIZE),
}
REFUSED = {
    "InstanceLoss": losses.InstanceLoss,
    "ManifoldLoss": lambda: losses.ManifoldLoss(SIZE, K=3),
    "NPairsLoss": losses.NPairsLoss,
    "VICRegLoss": losses.VICRegLoss,
}
WORKING = CANDIDATES | ANCHORED | SAMPLES


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
    bare = value_and_gradient(WORKING[name](), embeddings, labels)[1]
    assert not torch.equal(gradient, bare)


@pytest.mark.parametrize("name", REFUSED)
def test_a_loss_that_makes_no_sense_is_refused_by_its_class_and_the_reason(name):
    with pytest.raises(ValueError, match=f"IntraClassAdaptiveAugmentation cannot wrap {name}: it "):
        wrap(REFUSED[name]())


@pytest.mark.parametrize(
    "name",
    [name for name in CANDIDATES if name not in ("NCALoss", "TripletMarginLoss of some", "DynamicSoftMarginLoss")],
)
def test_candidate_losses_get_the_pairs_that_pml_makes_without_own_copies(name, monkeypatch):
    embeddings, labels = batch(dtype=torch.float64)
    wrapper, noise = wrap(CANDIDATES[name]()).double(), noise_for(embeddings)
    value, gradient = value_and_gradient(wrapper, embeddings, labels, noise=noise)

    leave_own_out(monkeypatch, own_of(len(labels), COPIES))

    def by_pml(rows, labels):
        points, classes = copies_by_hand(wrapper, rows, labels, noise)
        return wrapper.loss(rows, labels, None, torch.cat([rows, points]), torch.cat([labels, classes]))

    expected = value_and_gradient(by_pml, embeddings, labels)
    torch.testing.assert_close((value, gradient), expected, rtol=1e-10, atol=1e-12)


def own_of(size, copies):
    return (torch.arange(size)[:, None] == torch.arange(size).repeat(copies + 1)).byte()


def leave_own_out(monkeypatch, own):
    """Takes own copies out of the positives where all PML losses and most miners look them up."""
    everything = lmu.get_matches_and_diffs

    def without_own(labels, ref_labels=None):
        matches, differences = everything(labels, ref_labels)
        return matches * (1 - own), differences

    monkeypatch.setattr(lmu, "get_matches_and_diffs", without_own)


def test_nca_sums_over_all_but_own_copies():
    embeddings, labels = batch(dtype=torch.float64)
    wrapper, noise = wrap(losses.NCALoss(softmax_scale=2)).double(), noise_for(embeddings)
    value = wrapper(embeddings, labels, noise=noise)
    points, classes = copies_by_hand(wrapper, embeddings, labels, noise)
    rows = torch.nn.functional.normalize(torch.cat([embeddings, points]))
    likeness = torch.exp(-2 * torch.cdist(rows[: len(labels)], rows).square()) * (1 - own_of(len(labels), COPIES))
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
    positive = likeness[same & ~own_of(len(labels), COPIES).bool()]
    negative = likeness[~same]
    expected = (0.9 - positive)[positive <= 0.9].mean() + (negative + 0.1)[negative >= -0.1].mean()
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("name", SAMPLES)
def test_losses_without_anchors_get_copies_as_samples(name):
    embeddings, labels = batch(dtype=torch.float64)
    loss = SAMPLES[name]().double()
    wrapper, noise = wrap(loss).double(), noise_for(embeddings)
    value = wrapper(embeddings, labels, noise=noise)
    points, classes = copies_by_hand(wrapper, embeddings, labels, noise)
    with prepared(loss):
        expected = loss(torch.cat([embeddings, points]), torch.cat([labels, classes]))
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12)


def test_some_triplets_are_so_many_an_anchor_and_no_own_copies():
    loss = losses.TripletMarginLoss(triplets_per_anchor=40, reducer=reducers.DoNothingReducer())
    embeddings, labels = torch.randn(5, SIZE), torch.tensor([0, 0, 0, 1, 1])
    anchor, positive, negative = wrap(loss)(embeddings, labels)["loss"]["indices"]
    assert Counter(anchor.tolist()) == dict.fromkeys(range(5), 40)
    assert (positive % 5 != anchor).all() and (labels[positive % 5] == labels[anchor]).all()
    assert (labels[negative % 5] != labels[anchor]).all()
    assert {place.item() for place in positive[anchor == 0]} == {1, 2, 6, 7, 11, 12}


# ---- every miner

MINERS = {
    "BatchHardMiner": miners.BatchHardMiner,
    "BatchHardMiner by cosine": lambda: miners.BatchHardMiner(distance=distances.CosineSimilarity()),
    "BatchHardMiner in a range": lambda: miners.BatchEasyHardMiner("hard", "hard", allowed_pos_range=(0.2, 1.3)),
    "HDCMiner": miners.HDCMiner,
    "MultiSimilarityMiner": miners.MultiSimilarityMiner,
    "MultiSimilarityMiner by distance": lambda: miners.MultiSimilarityMiner(distance=distances.LpDistance()),
    "PairMarginMiner": lambda: miners.PairMarginMiner(0.8, 1.2),
    "TripletMarginMiner": miners.TripletMarginMiner,
    "TripletMarginMiner, easy": lambda: miners.TripletMarginMiner(type_of_triplets="easy"),
    "AngularMiner": miners.AngularMiner,
} | {
    f"BatchEasyHardMiner({pos}, {neg})": lambda pos=pos, neg=neg: miners.BatchEasyHardMiner(pos, neg)
    for pos in ("hard", "semihard", "easy", "all")
    for neg in ("hard", "semihard", "easy", "all")
    if {pos, neg} not in ({"semihard"}, {"semihard", "all"})
}


def candidates_for(embeddings, labels, copies=COPIES):
    points = embeddings.repeat(copies, 1) + 0.3 * torch.randn(copies * len(embeddings), embeddings.shape[1])
    return Candidates(
        embeddings,
        labels,
        torch.cat([embeddings, points]),
        labels.repeat(copies + 1),
        own_of(len(labels), copies).bool(),
    )


def as_set(indices_tuple):
    """Pairs or triplets without their order, positives and negatives apart."""
    halves = [indices_tuple] if len(indices_tuple) == 3 else [indices_tuple[:2], indices_tuple[2:]]
    return [Counter(zip(*(rows.tolist() for rows in half), strict=True)) for half in halves]


def multi_similarity_by_hand(candidates, miner):
    likeness = miner.distance(candidates.embeddings, candidates.ref_emb)
    if not miner.distance.is_inverted:
        likeness = -likeness
    found = [], [], [], []
    for anchor, row in enumerate(likeness):
        positives = (candidates.matches()[anchor]).nonzero().flatten().tolist()
        negatives = (candidates.differences()[anchor]).nonzero().flatten().tolist()
        if not positives or not negatives:
            continue
        for positive in positives:
            if row[positive] - miner.epsilon < max(row[other] for other in negatives):
                found[0].append(anchor)
                found[1].append(positive)
        for negative in negatives:
            if row[negative] + miner.epsilon > min(row[other] for other in positives):
                found[2].append(anchor)
                found[3].append(negative)
    return tuple(torch.tensor(rows, dtype=torch.long) for rows in found)


@pytest.mark.parametrize("labels", [torch.arange(12) % 4, torch.tensor([0, 0, 0, 0, 0, 1, 1, 2, 3, 3, 3, 4])])
@pytest.mark.parametrize("name", MINERS)
def test_a_miner_finds_what_it_would_were_own_copies_no_candidates(name, labels, monkeypatch):
    embeddings = torch.randn(12, SIZE) + 0.7 * torch.randn(5, SIZE)[labels]
    candidates, miner = candidates_for(embeddings, labels), MINERS[name]()
    before = {key: value for key, value in vars(miner).items() if not key.startswith(("_", "num_"))}
    distance = miner.distance
    found = mined(miner, candidates)
    assert miner.distance is distance
    assert {key: value for key, value in vars(miner).items() if not key.startswith(("_", "num_"))} == before
    if isinstance(miner, miners.MultiSimilarityMiner):
        expected = multi_similarity_by_hand(candidates, miner)
    else:
        leave_own_out(monkeypatch, candidates.own.byte())
        expected = miner(*candidates[:4])
    assert sum(map(len, as_set(expected))) > 0
    assert as_set(found) == as_set(expected)


def test_uniform_histogram_miner_draws_from_every_bin_but_no_own_copies():
    candidates = candidates_for(torch.randn(12, SIZE), torch.arange(12) % 4)
    miner = miners.UniformHistogramMiner(num_bins=4, pos_per_bin=50, neg_per_bin=50)
    anchor, positive, other_anchor, negative = mined(miner, candidates)
    assert candidates.matches()[anchor, positive].all() and candidates.differences()[other_anchor, negative].all()
    matrix = miner.distance(candidates.embeddings, candidates.ref_emb)
    drawn, allowed = matrix[anchor, positive], matrix[candidates.matches()]
    edges = torch.linspace(float(allowed.min()), float(allowed.max()), 5)
    counts = torch.histogram(drawn, edges).hist
    assert all(count in (0, 50) for count in counts.tolist()) and counts.sum() >= 100


def test_distance_weighted_miner_finds_no_own_copies():
    candidates = candidates_for(torch.randn(12, SIZE), torch.arange(12) % 4)
    anchor, positive, negative = mined(miners.DistanceWeightedMiner(), candidates)
    assert len(anchor) > 0
    assert candidates.matches()[anchor, positive].all() and candidates.differences()[anchor, negative].all()


def test_expansion_miner_mines_by_its_own_matrix():
    candidates = candidates_for(torch.randn(12, SIZE), torch.arange(12) % 4)
    plain = mined(miners.BatchHardMiner(), candidates)
    without_points = mined(ExpansionMiner(miners.BatchHardMiner(), num_points=0), candidates)
    expanded = ExpansionMiner(miners.BatchHardMiner(), num_points=3)
    anchor, positive, negative = mined(expanded, candidates)
    assert as_set(plain) == as_set(without_points) != as_set((anchor, positive, negative))
    assert torch.equal(positive, plain[1])  # positives are measured as they are
    assert wrap(losses.TripletMarginLoss(), expanded)(*batch()) >= 0


def test_a_miner_of_ones_own_is_asked_as_it_is_and_own_copies_taken_out():
    class Nearest(miners.MultiSimilarityMiner):
        def mine(self, embeddings, labels, ref_emb, ref_labels):
            matches, differences = lmu.get_matches_and_diffs(labels, ref_labels)
            return *torch.where(matches), *torch.where(differences)

    candidates = candidates_for(torch.randn(6, SIZE), torch.arange(6) % 2)
    positives, negatives = as_set(mined(Nearest(), candidates))
    assert len(positives) == int(candidates.matches().sum()) and len(negatives) == int(candidates.differences().sum())


def test_a_miner_for_rows_in_fixed_places_is_refused():
    with pytest.raises(ValueError, match="cannot wrap EmbeddingsAlreadyPackagedAsTriplets: its triplets are rows"):
        wrap(losses.TripletMarginLoss(), miners.EmbeddingsAlreadyPackagedAsTriplets())


@pytest.mark.parametrize(
    "loss_name", ["MultiSimilarityLoss", "NCALoss", "AngularLoss", "TripletMarginLoss", "SupConLoss"]
)
@pytest.mark.parametrize("same_distance", [True, False])
def test_the_loss_measures_the_same_whether_or_not_it_shares_a_matrix_with_the_miner(loss_name, same_distance):
    embeddings, labels = batch(dtype=torch.float64)
    loss, noise = CANDIDATES[loss_name](), noise_for(embeddings)
    distance = copy.deepcopy(loss.distance) if same_distance else distances.SNRDistance()
    wrapper = wrap(loss, miners.BatchHardMiner(distance=distance)).double()
    actual = value_and_gradient(wrapper, embeddings, labels, noise=noise)

    def by_hand(rows, labels):
        points, classes = copies_by_hand(wrapper, rows, labels, noise)
        candidates = Candidates(
            rows, labels, torch.cat([rows, points]), torch.cat([labels, classes]), own_of(12, COPIES).bool()
        )
        tuples = mined(wrapper.miner, candidates)
        if loss_name != "NCALoss":
            return wrapper.loss(rows, labels, tuples, *candidates[2:4])
        logits = -wrapper.loss.distance(rows, candidates.ref_emb)
        share = logits.masked_fill(candidates.own, -float("inf")).softmax(dim=1)
        return -torch.log((share * candidates.matches()).sum(dim=1)).mean()  # each anchor is mined once: weights 1

    torch.testing.assert_close(actual, value_and_gradient(by_hand, embeddings, labels), rtol=1e-10, atol=1e-12)


def test_proxy_losses_weigh_rows_by_what_is_mined_among_all_samples():
    embeddings, labels = batch()
    loss, miner, noise = losses.ProxyAnchorLoss(NUM_CLASSES, SIZE), miners.MultiSimilarityMiner(), noise_for(embeddings)
    wrapper = wrap(loss, miner)
    points, classes = copies_by_hand(wrapper, embeddings, labels, noise)
    rows, classes = torch.cat([embeddings, points]), torch.cat([labels, classes])
    torch.testing.assert_close(wrapper(embeddings, labels, noise=noise), loss(rows, classes, miner(rows, classes)))


# ---- reducers and regularizers


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


# ---- references and tuples from outside


def test_references_stand_in_place_of_the_batch_beside_its_copies():
    embeddings, labels = batch(dtype=torch.float64)
    memory, classes = batch(size=9, num_classes=3, dtype=torch.float64)
    loss = losses.ContrastiveLoss(reducer=reducers.SumReducer())
    wrapper, noise = wrap(loss).double(), noise_for(embeddings)
    points, point_classes = copies_by_hand(wrapper, embeddings, labels, noise)
    found = lmu.get_all_pairs_indices(labels, point_classes)
    other = found[1] % len(labels) != found[0]
    found = found[0][other], found[1][other], *found[2:]
    expected = loss(embeddings, labels, None, memory, classes) + loss(embeddings, labels, found, points, point_classes)
    torch.testing.assert_close(wrapper(embeddings, labels, None, memory, classes, noise=noise), expected)


@pytest.mark.parametrize("miner", [None, miners.MultiSimilarityMiner(), miners.TripletMarginMiner()])
def test_in_a_memory_pairs_with_all_copies_are_added_to_those_with_the_memory(miner):
    embeddings, labels = batch()
    loss = losses.ContrastiveLoss(reducer=reducers.DoNothingReducer())
    memory = CrossBatchMemory(wrap(loss), SIZE, memory_size=24, miner=miner)
    bare = CrossBatchMemory(loss, SIZE, memory_size=24, miner=miner)
    memory(embeddings, labels), bare(embeddings, labels)
    rows, classes = batch()
    with_copies, without = memory(rows, classes), bare(rows, classes)
    assert torch.equal(memory.embedding_memory, bare.embedding_memory)  # no copy is enqueued
    for kind, own in (("pos_loss", True), ("neg_loss", False)):
        anchors, others = with_copies[kind]["indices"]
        of_memory = Counter(zip(anchors[others < 24].tolist(), others[others < 24].tolist(), strict=True))
        assert of_memory.keys() == as_set((*without[kind]["indices"],) * 2)[0].keys()
        sources = (others - 24) % 12
        expected = {
            (anchor, 24 + copy_ * 12 + row)
            for copy_ in range(COPIES)
            for anchor in range(12)
            for row in range(12)
            if (classes[anchor] == classes[row]) == own and row != anchor
        }
        assert {(a, o) for a, o in zip(anchors.tolist(), others.tolist(), strict=True) if o >= 24} == expected
        assert (sources[others >= 24] != anchors[others >= 24]).all()


@pytest.mark.parametrize(
    ("loss", "miner", "arguments", "message"),
    [
        (
            losses.ContrastiveLoss(),
            None,
            "tuple",
            "takes no `indices_tuple` of the batch.*give the miner to the wrapper",
        ),
        (losses.ContrastiveLoss(), miners.BatchHardMiner(), "tuple and references", "beside a miner of its own"),
        (losses.ProxyNCALoss(NUM_CLASSES, SIZE), None, "references", "takes no `ref_emb` around ProxyNCALoss"),
        (losses.HistogramLoss(), None, "references", "takes no `ref_emb` around HistogramLoss"),
        (losses.LiftedStructureLoss(), None, "references", "takes positions in it for rows of the batch"),
    ],
)
@pytest.mark.parametrize("refreshed", [True, False])
def test_what_copies_cannot_join_is_refused_from_the_first_step(loss, miner, arguments, message, refreshed):
    embeddings, labels = batch()
    tuples = miners.BatchHardMiner()(embeddings, labels) if "tuple" in arguments else None
    references = batch() if "references" in arguments else (None, None)
    with pytest.raises(ValueError, match=message):
        wrap(loss, miner, refreshed)(embeddings, labels, tuples, *references)


# ---- around other wrappers


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
        (lambda: wrap(OtherWrapper(losses.ContrastiveLoss())), "put OtherWrapper around it"),
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


# ---- refreshing


def test_refresh_takes_the_moments_of_the_whole_set():
    embeddings, labels = torch.randn(30, SIZE), torch.arange(30) % NUM_CLASSES
    wrapper = wrap(losses.ContrastiveLoss(), refreshed=False)
    wrapper.refresh(embeddings, labels)
    expected = torch.stack([embeddings[labels == c].var(dim=0, unbiased=False) for c in range(NUM_CLASSES)])
    torch.testing.assert_close(wrapper.variance, expected)
    assert wrapper.statistics.count.tolist() == [5] * NUM_CLASSES


def test_refresh_in_parts_is_refresh_at_once():
    embeddings, labels = torch.randn(9000, SIZE), torch.randint(NUM_CLASSES, (9000,))
    wrapper = wrap(losses.ContrastiveLoss(), refreshed=False)
    wrapper.refresh(embeddings, labels)  # more rows than it takes at a time
    at_once = wrap(losses.ContrastiveLoss(), refreshed=False)
    at_once.statistics.update(embeddings, labels)
    torch.testing.assert_close(wrapper.variance, at_once.variance)


def test_a_second_refresh_keeps_as_much_as_momentum_allows():
    labels = torch.arange(24) % NUM_CLASSES
    first, second = torch.randn(24, SIZE), torch.randn(24, SIZE)
    wrapper = wrap(losses.ContrastiveLoss(), refreshed=False, momentum=0.0)
    wrapper.refresh(first, labels)
    wrapper.refresh(second, labels)
    alone = wrap(losses.ContrastiveLoss(), refreshed=False)
    alone.refresh(second, labels)
    torch.testing.assert_close(wrapper.variance, alone.variance)


def test_neighbor_correction_changes_what_copies_vary_by():
    embeddings, labels = torch.randn(30, SIZE), torch.arange(30) % NUM_CLASSES
    plain, corrected = (wrap(losses.ContrastiveLoss(), refreshed=False, neighbor_correction=c) for c in (False, True))
    for wrapper in (plain, corrected):
        wrapper.refresh(embeddings, labels)
    assert plain.corrected_variance is None and plain.variance is plain.statistics.variance
    assert torch.equal(corrected.statistics.variance, plain.statistics.variance)
    statistics = corrected.statistics
    expected = corrected.correction(statistics.mean, statistics.variance, statistics.count)
    torch.testing.assert_close(corrected.variance, expected)
    assert not torch.allclose(corrected.variance, plain.variance)


def test_correction_is_for_many_classes_unless_asked():
    def corrects(num_classes, asked):
        loss = losses.ContrastiveLoss()
        return IntraClassAdaptiveAugmentation(loss, num_classes, 2, neighbor_correction=asked).correction is not None

    assert [corrects(1000, None), corrects(1001, None)] == [False, True]
    assert [corrects(1000, True), corrects(1001, False)] == [True, False]


def test_with_correction_single_samples_get_a_variance_and_without_none():
    embeddings, labels = torch.randn(13, SIZE), torch.tensor([0] * 4 + [1] * 4 + [2] * 4 + [3])
    for asked, any_variance in ((False, False), (True, True)):
        wrapper = wrap(losses.ContrastiveLoss(), refreshed=False, neighbor_correction=asked)
        wrapper.refresh(embeddings, labels)
        assert bool(wrapper.variance[3].any()) == any_variance
        assert bool(wrapper.variance[5].any()) == any_variance  # never seen


# ---- what every wrapper keeps


@pytest.mark.parametrize("neighbor_correction", [False, True])
def test_saved_and_loaded_it_goes_on_alike(neighbor_correction):
    loss, other = (
        wrap(losses.MultiSimilarityLoss(), refreshed=False, neighbor_correction=neighbor_correction) for _ in range(2)
    )
    loss.refresh(torch.randn(40, SIZE), torch.arange(40) % NUM_CLASSES)
    loss.strength = 0.3
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    embeddings, labels = batch()
    assert other.strength == 0.3
    assert torch.equal(seeded(loss, embeddings, labels), seeded(other, embeddings, labels))
    more = torch.randn(40, SIZE), torch.arange(40) % NUM_CLASSES
    for each in (loss, other):
        each.refresh(*more)
    assert torch.equal(seeded(loss, embeddings, labels), seeded(other, embeddings, labels))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda loss: pickle.loads(pickle.dumps(loss))])
def test_copies_of_the_wrapper_are_equal_and_independent(duplicate):
    loss, (embeddings, labels) = wrap(losses.MultiSimilarityLoss(), miners.MultiSimilarityMiner()), batch()
    other = duplicate(loss)
    assert torch.equal(seeded(loss, embeddings, labels), seeded(other, embeddings, labels))
    other.refresh(torch.randn(40, SIZE), torch.arange(40) % NUM_CLASSES)
    assert not torch.equal(loss.variance, other.variance)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("make", [losses.MultiSimilarityLoss, lambda: losses.ProxyAnchorLoss(NUM_CLASSES, SIZE)])
def test_half_precision_runs_in_float32(make, dtype):
    loss, (embeddings, labels) = wrap(make(), neighbor_correction=True), batch()
    expected = seeded(loss, embeddings.to(dtype).float(), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = seeded(loss, embeddings.to(dtype), labels)
        loss.refresh(torch.randn(40, SIZE).to(dtype), torch.arange(40) % NUM_CLASSES)
    assert value.dtype == torch.float32 and torch.equal(value, expected)
    assert loss.variance.dtype == torch.float32


def test_the_batch_and_the_parts_stay_as_they_were():
    embeddings, labels = batch()
    given = embeddings.clone(), labels.clone()
    miner = miners.MultiSimilarityMiner()
    for loss in (losses.MultiSimilarityLoss(), losses.NCALoss(), losses.ThresholdConsistentMarginLoss()):
        distance, attributes = loss.distance, set(vars(loss))
        wrap(loss, miner)(embeddings, labels)
        assert loss.distance is distance and set(vars(loss)) == attributes
    assert torch.equal(embeddings, given[0]) and torch.equal(labels, given[1])


class Counted(TorchDispatchMode):
    """How many operations compute something, and how many of them wait for the device."""

    WAITING = ("nonzero", "_local_scalar_dense", "_unique2", "masked_select", "bincount")

    def __init__(self):
        super().__init__()
        self.kernels = 0
        self.waits = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        self.kernels += not func.is_view
        self.waits[name] += name in self.WAITING
        if name.startswith("index"):
            indices = args[1] if isinstance(args[1], (list, tuple)) else []
            self.waits["masked index"] += any(index is not None and index.dtype == torch.bool for index in indices)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("make", "make_miner"),
    [
        (losses.MultiSimilarityLoss, miners.MultiSimilarityMiner),
        (losses.MultiSimilarityLoss, lambda: None),
        (losses.ContrastiveLoss, lambda: None),
        (losses.TripletMarginLoss, miners.BatchHardMiner),
        (lambda: losses.ProxyAnchorLoss(NUM_CLASSES, SIZE), lambda: None),
    ],
)
def test_it_adds_few_kernels_and_no_host_wait(make, make_miner):
    embeddings, labels = batch()
    loss, miner = make(), make_miner()
    wrapper = wrap(loss, miner)

    def bare(rows, labels):
        return loss(rows, labels, None if miner is None else miner(rows, labels))

    counts = []
    for function in (bare, wrapper):
        value_and_gradient(function, embeddings, labels)
        with Counted() as counted:
            value_and_gradient(function, embeddings, labels)
        counts.append(counted)
    plain, augmented = counts
    assert augmented.kernels - plain.kernels <= 60
    # whether the batch is finite and its labels are in range, one and three comparisons, is asked on the CPU only
    plain.waits["_local_scalar_dense"] += 4
    assert not augmented.waits - plain.waits


# ---- refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_copies": -1}, "num_copies must be at least 0, but got -1"),
        ({"strength": -0.1}, "strength must be at least 0, but got -0.1"),
        ({"strength": float("nan")}, "strength must be at least 0, but got nan"),
        ({"momentum": 2}, "momentum must be between 0 and 1, but got 2"),
        ({"noise_std": "root"}, "`noise_std` to be one of .* but got 'root'"),
        ({"num_neighbors": 0}, "num_neighbors must be at least 1, but got 0"),
        ({"beta": -1}, "beta must be at least 0, but got -1"),
        ({"gamma": 2}, "gamma must be between 0 and 1, but got 2"),
    ],
)
def test_bad_settings_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        wrap(losses.ContrastiveLoss(), refreshed=False, **options)


def test_correction_of_a_single_class_is_refused_at_once():
    with pytest.raises(ValueError, match="neighbor_correction=True needs num_classes to be at least 2, but got 1"):
        IntraClassAdaptiveAugmentation(losses.ContrastiveLoss(), 1, 2, neighbor_correction=True)


@pytest.mark.parametrize("refreshed", [True, False])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:, :5], y), rf"`embeddings` must have {SIZE} columns \(embedding_size\), but got 5"),
        (lambda x, y: (x, y + 3), r"labels must be in 0 .. 5, the classes of .*, but got 3 .. 6"),
        (lambda x, y: (x, y - 1), r"labels must be in 0 .. 5.*but got -1 .. 2"),
        (lambda x, y: (x / 0, y), "`embeddings` must be finite"),
    ],
)
def test_bad_batches_are_refused_from_the_first_step(change, message, refreshed):
    with pytest.raises(ValueError, match=message):
        wrap(losses.ContrastiveLoss(), refreshed=refreshed)(*change(*batch()))


def test_a_draw_that_no_part_knows_is_refused():
    with pytest.raises(TypeError, match=re.escape("unexpected keyword argument 'mixing'")):
        wrap(losses.ContrastiveLoss())(*batch(), mixing=0.5)
