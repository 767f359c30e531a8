"""Metric mixup: recorded numbers, hand-made cases, limits, kinds of mixtures and refusals."""

import copy
import math
import re

import pytest
import torch
from batches import random_batch
from host_losses import make_loss, refused_by
from measuring import relative_error, value_and_gradient
from pytorch_metric_learning import distances, losses, miners, reducers, regularizers

from pml_aug.distances.to_mixtures import distances_to_mixtures
from pml_aug.synthesis import positive_negative_pairs
from pml_aug.wrappers import CrossBatchMemory, EmbeddingExpansion, IntraClassAdaptiveAugmentation, MetricMixup

C, D = 4, 8
MAKE = {
    "contrastive": lambda **options: losses.ContrastiveLoss(neg_margin=1.5, **options),
    "contrastive, cosine": lambda **options: losses.ContrastiveLoss(
        1, 0.2, distance=distances.CosineSimilarity(), **options
    ),
    "signal to noise": lambda **options: losses.SignalToNoiseRatioContrastiveLoss(neg_margin=1.5, **options),
    "multi-similarity": lambda **options: losses.MultiSimilarityLoss(**options),
    "multi-similarity, Euclidean": lambda **options: losses.MultiSimilarityLoss(
        distance=distances.LpDistance(), **options
    ),
}


def batch(size=10, **options):
    return random_batch(size=size, num_classes=C, width=D, **options)


# ---- recorded numbers


@pytest.mark.parametrize("number", range(8))
def test_around_the_contrastive_loss_it_is_the_recorded_loss(golden, number):
    file = golden(f"metrix_{number:02d}")
    meta = file.meta
    loss = losses.ContrastiveLoss(pos_margin=meta["pos_margin"], neg_margin=meta["neg_margin"])
    wrapper = MetricMixup(loss, weight=meta["weight"], positives="first")
    draws = {"lam": float(file.lam), "kind": meta["mode"]}
    value, gradient = value_and_gradient(wrapper, file.features, file.labels, **draws)
    assert relative_error(value, file.loss) < 1e-10
    assert relative_error(gradient, file.grad_features) < 1e-10
    assert wrapper.num_synthetic == len(file.anchors) and wrapper.mixing == float(file.lam)


# ---- by hand, in two dimensions


def test_half_way_between_a_positive_and_a_negative():
    loss = losses.ContrastiveLoss(neg_margin=1.0)
    rows, labels = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0, 1])
    value = MetricMixup(loss, weight=1.0)(rows, labels, lam=0.5, kind="positive_negative")
    chord = 2 * math.sin(math.pi / 8)  # between a row and the mixture, 45 degrees apart; the clean loss is 0
    torch.testing.assert_close(value, torch.tensor(0.5 * chord + 0.5 * (1 - chord)))


def test_the_row_without_a_positive_is_mixed_with_its_negatives():
    loss = losses.ContrastiveLoss(neg_margin=1.0)
    rows, labels = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0, 1])
    value = MetricMixup(loss, weight=(0.0, 1.0))(rows, labels, lam=0.5, kind="anchor_negative")
    chord = 2 * math.sin(math.pi / 8)
    torch.testing.assert_close(value, torch.tensor(0.5 * chord + 0.5 * (1 - chord)))


# ---- the two sides


@pytest.mark.parametrize("name", [name for name in MAKE if name.startswith("multi")])
def test_label_weights_are_inside_the_sums_of_exponentials(name):
    loss, lam = MAKE[name](alpha=3.0, beta=5.0), 0.3
    rows, labels = batch(dtype=torch.float64)
    pairs = positive_negative_pairs(labels)
    value = MetricMixup(loss, weight=1.0)(rows, labels, lam=lam, kind="positive_negative") - loss(rows, labels)
    matrix = distances_to_mixtures(loss.distance, rows, pairs, lam)
    mask = pairs.is_mixed.flatten(1)
    sign = 1 if loss.distance.is_inverted else -1
    attracting = (lam * torch.exp(-sign * 3.0 * (matrix - loss.base)) * mask).sum(dim=1)
    repelling = ((1 - lam) * torch.exp(sign * 5.0 * (matrix - loss.base)) * mask).sum(dim=1)
    expected = (attracting.log1p() / 3.0 + repelling.log1p() / 5.0).mean()
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("name", MAKE)
def test_at_1_partners_attract_and_at_0_negatives_repel(name):
    loss, given = MAKE[name](), batch(dtype=torch.float64)
    none, labels = torch.empty(0, dtype=torch.long), given[1]
    row, partner, negative = positive_negative_pairs(labels).triples()
    wrapper = MetricMixup(loss, weight=1.0, kind="positive_negative")
    sides = {1.0: (row, partner, none, none), 0.0: (none, none, row, negative)}
    for lam, tuples in sides.items():
        if name.startswith("multi"):  # its sums count a pair as often as it is mixed: once per negative, or partner
            times = (labels[:, None] != labels).sum(dim=1) if lam else (labels[:, None] == labels).sum(dim=1) - 1
            side = losses.MultiSimilarityLoss(distance=loss.distance)
            shift = times.double().log()[:, None] / (side.alpha if lam else side.beta)
            sign = 1 if (lam == 1) == (not side.distance.is_inverted) else -1
            side.distance = Shifted(side.distance, sign * shift)
            expected = side(*given, tuples)
        else:
            expected = loss(*given, tuples)
        torch.testing.assert_close(wrapper(*given, lam=lam) - loss(*given), expected)


class Shifted(torch.nn.Module):
    """A distance with a constant added in each row."""

    def __init__(self, distance, shift):
        super().__init__()
        self.distance, self.shift, self.is_inverted = distance, shift, distance.is_inverted
        self.margin = distance.margin

    def forward(self, *rows):
        return self.distance(*rows) + self.shift


@pytest.mark.parametrize("kind", ["positive_negative", "anchor_negative"])
@pytest.mark.parametrize("name", MAKE)
def test_gradient_is_the_derivative_of_the_value(name, kind):
    rows, labels = batch(6, dtype=torch.float64)
    wrapper = MetricMixup(MAKE[name]())
    assert torch.autograd.gradcheck(
        lambda rows: wrapper(rows, labels, lam=0.3, kind=kind), rows.requires_grad_(), atol=1e-4
    )


# ---- limits


@pytest.mark.parametrize("name", MAKE)
def test_weight_0_gives_the_baseline_loss_to_the_last_bit(name):
    given, loss = batch(), MAKE[name]()
    wrapped, baseline = (value_and_gradient(each, *given) for each in (MetricMixup(loss, weight=0), loss))
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(wrapped, baseline, strict=True))


@pytest.mark.parametrize(
    ("labels", "kind"),
    [([1, 1, 1], "random"), ([0, 1, 2], "positive_negative"), ([0, 0, 1, 1], "anchor_negative"), ([5], "random")],
)
def test_without_mixtures_it_is_the_baseline_loss(labels, kind):
    rows, labels = torch.randn(len(labels), D), torch.tensor(labels)
    loss = MAKE["contrastive"]()
    wrapper = MetricMixup(loss, kind=kind)
    assert torch.equal(wrapper(rows, labels), loss(rows, labels)) and wrapper.num_synthetic == 0


# ---- kinds


def test_where_one_kind_is_impossible_the_other_one_is_taken():
    wrapper = MetricMixup(MAKE["contrastive"]())
    for labels, expected in ((torch.arange(4) // 2, 4 * 2), (torch.arange(4), 4 * 3)):
        for seed in range(6):
            wrapper(torch.randn(4, D), labels, generator=torch.Generator().manual_seed(seed))
            assert wrapper.num_synthetic == expected


@pytest.mark.slow
def test_both_kinds_are_drawn_by_a_fair_coin():
    wrapper, labels = MetricMixup(MAKE["contrastive"]()), torch.tensor([0, 0, 1])
    found = []
    for seed in range(400):
        wrapper(torch.randn(3, D), labels, generator=torch.Generator().manual_seed(seed), lam=0.5)
        found.append(wrapper.num_synthetic * wrapper.mixing)
    wrapper.weight = (1.0, 0.0)
    drawn = []
    for seed in range(400):
        generator = torch.Generator().manual_seed(seed)
        drawn.append(wrapper._drawn_kind(generator, None) == "positive_negative")
    assert 160 < sum(drawn) < 240  # four standard deviations
    assert set(found) == {1.0}  # two mixtures of either kind


def test_each_kind_has_its_weight():
    loss, rows, labels = MAKE["contrastive"](), torch.randn(5, D), torch.tensor([0, 0, 1, 1, 2])
    both = MetricMixup(loss, weight=(0.4, 0.3))
    for kind, weight in (("positive_negative", 0.4), ("anchor_negative", 0.3)):
        alone = MetricMixup(loss, weight=weight)
        assert torch.equal(both(rows, labels, kind=kind, lam=0.5), alone(rows, labels, kind=kind, lam=0.5))


def test_a_small_alpha_mixes_nothing():
    """The control: lambda is 0 or 1, so that each mixture is a row of the batch."""
    wrapper = MetricMixup(MAKE["contrastive"](), alpha=1e-4)
    for seed in range(50):
        wrapper(*batch(), generator=torch.Generator().manual_seed(seed))
        assert min(wrapper.mixing, 1 - wrapper.mixing) < 1e-12


# ---- beside other parts


def test_the_first_positive_counts_as_often_as_there_are_positives():
    rows, labels = torch.randn(8, D), torch.tensor([0, 0, 0, 1, 1, 1, 2, 2])
    found = {each: MetricMixup(MAKE["contrastive"](), positives=each) for each in ("each", "first")}
    values = [wrapper(rows, labels, lam=0.5, kind="positive_negative") for wrapper in found.values()]
    assert len({wrapper.num_synthetic for wrapper in found.values()}) == 1 and values[0] != values[1]
    rows, labels = torch.randn(8, D), torch.arange(8) // 2  # one positive each
    values = [wrapper(rows, labels, lam=0.5, kind="positive_negative") for wrapper in found.values()]
    assert torch.equal(*values)


@pytest.mark.parametrize("name", MAKE)
def test_a_tuple_is_for_the_batch_alone(name):
    loss, given = MAKE[name](), batch(dtype=torch.float64)
    tuples = miners.PairMarginMiner()(*given)
    wrapper = MetricMixup(loss)
    values = [wrapper(*given, each, lam=0.4, kind="positive_negative") for each in (tuples, None)]
    torch.testing.assert_close(values[0] - values[1], loss(*given, tuples) - loss(*given))


def test_regularizers_count_once():
    loss, given = MAKE["contrastive"](embedding_regularizer=regularizers.LpRegularizer()), batch()
    plain = copy.deepcopy(loss)
    plain.embedding_regularizer = None
    draws = {"lam": 0.4, "kind": "positive_negative"}
    added = [MetricMixup(each)(*given, **draws) - each(*given) for each in (loss, plain)]
    torch.testing.assert_close(*added, rtol=1e-4, atol=1e-5)


def test_reducers_by_class_see_the_class_of_the_row():
    weights = torch.tensor([1.0, 0.0, 0.0, 0.0])
    loss = MAKE["contrastive"](reducer=reducers.ClassWeightedReducer(weights))
    rows, labels = batch(8)
    value, gradient = value_and_gradient(MetricMixup(loss, kind="positive_negative"), rows, labels)
    assert value > 0
    swapped = MetricMixup(MAKE["contrastive"](reducer=reducers.ClassWeightedReducer(0 * weights)))
    assert swapped(rows, labels) == 0


def test_random_numbers_are_the_generators():
    wrapper, given = MetricMixup(MAKE["multi-similarity"]()), batch()

    def drawn(seed):
        return wrapper(*given, generator=torch.Generator().manual_seed(seed)).item()

    assert drawn(1) == drawn(1) and len({drawn(seed) for seed in range(5)}) == 5


# ---- refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": -1}, "weight must be at least 0, but got -1"),
        ({"weight": (0.1, 0.2, 0.3)}, "weight must be a number or two, one for each kind, but got 3 numbers"),
        ({"weight": "0.4"}, "weight must be a number"),
        ({"alpha": 0}, "alpha must be above 0, but got 0"),
        ({"positives": "all"}, "positives must be one of 'each', 'first', but got 'all'"),
        ({"kind": "both"}, "kind must be one of 'random', 'positive_negative', 'anchor_negative', but got 'both'"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        MetricMixup(losses.ContrastiveLoss(), **arguments)


@pytest.mark.parametrize(
    ("draws", "message"),
    [({"lam": 1.1}, "lam must be between 0 and 1"), ({"kind": "random"}, "kind must be one of 'positive_negative'")],
)
def test_draws_out_of_range_are_refused(draws, message):
    with pytest.raises(ValueError, match=message):
        MetricMixup(losses.ContrastiveLoss())(*batch(), **draws)


@pytest.mark.parametrize(("name", "reason"), refused_by("MetricMixup").items())
def test_other_losses_are_refused_with_the_reason(name, reason):
    with pytest.raises(ValueError, match=f"cannot wrap {name}: {re.escape(reason[:30])}"):
        MetricMixup(make_loss(name, C, D))


def test_references_are_refused_in_a_call_and_by_a_memory():
    wrapper = MetricMixup(losses.ContrastiveLoss())
    with pytest.raises(ValueError, match="takes no `ref_emb`: it mixes the rows of the batch"):
        wrapper(*batch(), None, *batch())
    with pytest.raises(ValueError, match="cannot hold MetricMixup around ContrastiveLoss: MetricMixup compares"):
        CrossBatchMemory(wrapper, D)


@pytest.mark.parametrize(
    "nest",
    [
        lambda: MetricMixup(EmbeddingExpansion(losses.ContrastiveLoss())),
        lambda: EmbeddingExpansion(MetricMixup(losses.ContrastiveLoss())),
        lambda: IntraClassAdaptiveAugmentation(MetricMixup(losses.ContrastiveLoss()), C, D),
    ],
)
def test_other_wrappers_inside_and_around_are_refused(nest):
    with pytest.raises(ValueError, match=r"cannot wrap \w+: of the wrappers"):
        nest()
