"""Densely-Anchored Sampling: recorded numbers, limits, gradients, statistics and refusals."""

import copy

import pytest
import torch
from batches import random_batch
from host_losses import accepted_by, make_loss, refused_by
from measuring import relative_error, value_and_gradient
from pytorch_metric_learning import losses, miners, reducers
from torch.nn.functional import normalize

from pml_aug.distances import IntrospectiveSimilarity
from pml_aug.statistics import ChannelCounts, DifferenceBank
from pml_aug.synthesis import scaled_and_shifted
from pml_aug.wrappers import DenselyAnchoredSampling
from pml_aug.wrappers.workarounds import with_workarounds

C, D = 4, 8
RECORDED = [f"das_{number:02d}" for number in range(8)]


def multi_similarity():
    return losses.MultiSimilarityLoss(2, 40, 0.5, reducer=reducers.AvgNonZeroReducer())


def batch(**options):
    return random_batch(size=8, num_classes=C, width=D, **options)


def rows_given(loss):
    """The arguments of all later calls of the loss."""
    calls, compute_loss = [], loss.compute_loss

    def recording(embeddings, labels, *rest):
        calls.append((embeddings, labels))
        return compute_loss(embeddings, labels, *rest)

    loss.compute_loss = recording
    return calls


# ---- recorded numbers


@pytest.mark.parametrize("name", RECORDED)
def test_it_is_the_recorded_loss_with_the_recorded_statistics(golden, name):
    file = golden(name)
    meta = file.meta
    loss = multi_similarity()
    wrapper = DenselyAnchoredSampling(
        loss,
        meta["class_num"],
        meta["dim"],
        miner=miners.MultiSimilarityMiner(0.1),
        num_copies=meta["num_produce"],
        num_channels=meta["dfs_num_scale"],
        scale_range=meta["dfs_scale_range"],
        bank_size=meta["bank_size"],
        shift=meta["mts_scale"],
        normalize=meta["normalize"],
        detach=meta["detach"],
    )
    assert meta["features_normalised_first"] == meta["normalize"] and meta["aux_loss_weight"] is None
    calls = rows_given(loss)
    for step in range(meta["steps"]):
        recorded = {
            key: getattr(file, f"{key}_{step}")
            for key in ("features", "labels", "scale", "channels", "bank_choice", "bank_size", "channels_unique")
        }
        draws = {"scale": recorded["scale"], "channels": recorded["channels"], "choice": recorded["bank_choice"]}
        value, gradient = value_and_gradient(wrapper, recorded["features"], recorded["labels"], **draws)
        rows, labels = calls[-1]
        rows = normalize(rows) if meta["normalize"] else rows
        assert relative_error(rows, getattr(file, f"all_embeddings_{step}")) < 1e-12
        assert torch.equal(labels, getattr(file, f"all_labels_{step}"))
        if meta["has_loss"]:
            assert relative_error(value, getattr(file, f"loss_{step}")) < 1e-10
            assert relative_error(gradient, getattr(file, f"grad_features_{step}")) < 1e-10
        assert torch.equal(wrapper.counts.count.double(), getattr(file, f"frequency_after_{step}"))
        assert (wrapper.bank.differences - getattr(file, f"bank_after_{step}")).abs().max() < 1e-14
        assert torch.equal(wrapper.bank.place, getattr(file, f"pointer_after_{step}"))
        assert torch.equal(wrapper.bank.number_of(recorded["labels"]), recorded["bank_size"])
        # of channels that the counts alone decide, the same are scaled
        channels = wrapper.counts.most_frequent(recorded["labels"], meta["dfs_num_scale"]).sort(dim=1).values
        decided = recorded["channels_unique"]
        assert torch.equal(channels[decided], recorded["channels"][0].sort(dim=1).values[decided])


# ---- by hand, in two dimensions


def test_the_larger_channel_is_scaled_and_the_difference_of_the_class_added():
    loss = losses.ContrastiveLoss()
    calls = rows_given(loss)
    wrapper = DenselyAnchoredSampling(
        loss, 1, 2, num_copies=1, num_channels=1, scale_range=(2, 2), shift=0.5, normalize=False
    )
    rows = torch.tensor([[1.0, 3.0], [1.0, 2.0]])
    wrapper(rows, torch.tensor([0, 0]), choice=torch.tensor([[0, 1]]))
    # the second channel is the larger; the bank holds (0, 1) and (0, -1)
    expected = torch.tensor([[1.0, 6.5], [1.0, 3.5]])
    assert torch.equal(calls[0][0], torch.cat([rows, expected]))


def test_copies_have_the_length_of_their_row():
    loss = losses.ContrastiveLoss()
    calls = rows_given(loss)
    embeddings, labels = batch()
    DenselyAnchoredSampling(loss, C, D, scale_range=(0.5, 2.0))(embeddings, labels)
    lengths = calls[0][0].norm(dim=1)
    torch.testing.assert_close(lengths, embeddings.norm(dim=1).repeat(4))


# ---- limits and gradients


@pytest.mark.parametrize("change", [{"num_copies": 0}, "eval"])
@pytest.mark.parametrize("name", sorted({*accepted_by("DenselyAnchoredSampling")} - {"DynamicSoftMarginLoss"}))
def test_without_copies_it_is_the_baseline_loss_to_the_last_bit_and_the_state_stays(name, change):
    loss, (embeddings, labels) = make_loss(name, C, D), batch()
    wrapper = DenselyAnchoredSampling(copy.deepcopy(loss), C, D, **({} if change == "eval" else change))
    wrapper.train(change != "eval")
    value, gradient = value_and_gradient(wrapper, embeddings, labels)
    with with_workarounds(loss):
        expected, of_rows = value_and_gradient(loss, embeddings, labels)
    assert torch.equal(value, expected) and torch.equal(gradient, of_rows)
    assert wrapper.num_synthetic == 0
    assert not wrapper.counts.count.any() and not wrapper.bank.filled.any() and not wrapper.bank.differences.any()


def test_without_scale_and_shift_the_copies_are_exact_duplicates():
    loss = losses.ContrastiveLoss()
    calls = rows_given(loss)
    embeddings, labels = batch()
    DenselyAnchoredSampling(loss, C, D, num_copies=2, scale_range=(1, 1), shift=0, normalize=False)(embeddings, labels)
    assert torch.equal(calls[0][0], embeddings.repeat(3, 1)) and torch.equal(calls[0][1], labels.repeat(3))


def test_a_class_seen_once_gets_no_shift():
    loss = losses.ContrastiveLoss()
    calls = rows_given(loss)
    embeddings = torch.randn(3, D)
    DenselyAnchoredSampling(loss, C, D, num_copies=1, scale_range=(1, 1), shift=0.5, normalize=False)(
        embeddings, torch.tensor([0, 0, 1])
    )
    moved = (calls[0][0][3:] != embeddings).any(dim=1)
    assert moved.tolist() == [True, True, False]


def test_every_channel_is_scaled_if_there_are_no_others():
    loss = losses.ContrastiveLoss()
    calls = rows_given(loss)
    embeddings, labels = batch()
    wrapper = DenselyAnchoredSampling(
        loss, C, D, num_copies=1, num_channels=D, scale_range=(3, 3), shift=0, normalize=False
    )
    wrapper(embeddings, labels)
    torch.testing.assert_close(calls[0][0][8:], 3 * embeddings)


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("to_unit", [True, False])
def test_gradient_is_the_derivative_of_the_value(to_unit, detach):
    embeddings, labels = batch(dtype=torch.float64)
    loss = losses.MultiSimilarityLoss().double()
    wrapper = DenselyAnchoredSampling(loss, C, D, normalize=to_unit, detach=detach, original_weight=0.3).double()
    shape = (3, 8, 4)
    draws = {
        "scale": torch.rand(shape, dtype=torch.float64) + 0.5,
        "channels": torch.arange(4).expand(shape),
        "choice": torch.zeros(shape[:2], dtype=torch.long),
    }
    frozen = wrapper.bank  # what is stored is constant to the gradient, but not to a numerical derivative
    wrapper(embeddings, labels, **draws)
    frozen.update = lambda *_: None
    if detach:
        constant = normalize(embeddings) if to_unit else embeddings.clone()
        lengths = embeddings.norm(dim=1, keepdim=True) if to_unit else 1.0
        shift = wrapper.shift * frozen.choose(labels, draws["choice"])
        copies = scaled_and_shifted(constant, labels, draws["channels"], draws["scale"], shift, to_unit).embeddings
        copies = copies * (lengths.repeat(3, 1) if to_unit else 1.0)

        def value(embeddings):
            return loss(torch.cat([embeddings, copies]), labels.repeat(4)) + 0.3 * loss(embeddings, labels)

        expected = value_and_gradient(lambda rows, _: value(rows), embeddings, labels)
        mine = value_and_gradient(lambda rows, classes: wrapper(rows, classes, **draws), embeddings, labels)
        for one, other in zip(mine, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    else:
        assert torch.autograd.gradcheck(
            lambda rows: wrapper(rows, labels, **draws), embeddings.requires_grad_(), atol=1e-5
        )


def test_the_loss_of_the_batch_is_added_with_its_weight():
    embeddings, labels = batch()
    draws = {"scale": torch.ones(3, 8, 4), "choice": torch.zeros(3, 8, dtype=torch.long)}
    values = [
        DenselyAnchoredSampling(losses.MultiSimilarityLoss(), C, D, original_weight=weight)(embeddings, labels, **draws)
        for weight in (0.0, 2.0)
    ]
    torch.testing.assert_close(values[1] - values[0], 2 * losses.MultiSimilarityLoss()(embeddings, labels))


# ---- only the rows of the batch as anchors


def test_originals_are_compared_with_all_copies_but_their_own():
    """Two rows of class 0 at a right angle and one of class 1 opposite of the first; a copy each, at the row itself."""
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], requires_grad=True)
    loss = losses.ContrastiveLoss(pos_margin=0, neg_margin=3, reducer=reducers.DoNothingReducer())
    wrapper = DenselyAnchoredSampling(
        loss, 2, 2, num_copies=1, num_channels=1, scale_range=(1, 1), shift=0, anchors="originals"
    )
    terms = wrapper(rows, torch.tensor([0, 0, 1]))
    # rows 0 and 1 are each other's positives, at 2^0.5, and so are the copies: four pairs; row 2 has none
    positive = terms["pos_loss"]
    torch.testing.assert_close(positive["losses"], torch.full((4,), 2**0.5))
    assert sorted(zip(*(side.tolist() for side in positive["indices"]), strict=True)) == [
        (0, 1),
        (0, 4),
        (1, 0),
        (1, 3),
    ]
    # negatives: 0 and 2 at distance 2, 1 and 2 at 2^0.5, with the row and with its copy, from both sides
    negative = sorted(terms["neg_loss"]["losses"].tolist())
    assert negative == pytest.approx([3 - 2] * 4 + [3 - 2**0.5] * 4)
    assert wrapper.num_synthetic == 3


@pytest.mark.parametrize("detach", [True, False])
def test_originals_give_the_loss_of_the_batch_beside_its_references(detach):
    embeddings, labels = batch(dtype=torch.float64)
    loss = losses.MultiSimilarityLoss()
    wrapper = DenselyAnchoredSampling(loss, C, D, detach=detach, shift=0.5, anchors="originals").double()
    draws = {"scale": torch.rand(3, 8, 4, dtype=torch.float64) + 0.5, "choice": torch.zeros(3, 8, dtype=torch.long)}
    same = torch.arange(8).repeat(4) == torch.arange(8)[:, None]
    positive = (labels[:, None] == labels.repeat(4)) & ~same
    tuples = (*torch.where(positive), *torch.where(labels[:, None] != labels.repeat(4)))

    def by_hand(rows, labels):
        other = DenselyAnchoredSampling(copy.deepcopy(loss), C, D, detach=detach, shift=0.5).double()
        seen = rows_given(other.loss)
        other(rows, labels, **draws)
        return loss(rows, labels, tuples, seen[0][0], labels.repeat(4))

    value = value_and_gradient(lambda rows, classes: wrapper(rows, classes, **draws), embeddings, labels)
    expected = value_and_gradient(by_hand, embeddings, labels)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["FastAPLoss", "ProxyAnchorLoss"])
def test_originals_need_a_loss_with_anchors_of_its_own(name):
    with pytest.raises(
        ValueError, match=rf'takes no anchors="originals" around {name}, which compares .*anchors="all"'
    ):
        DenselyAnchoredSampling(make_loss(name, C, D), C, D, anchors="originals")


def test_originals_leave_no_place_for_copies_in_a_square_of_pairs():
    loss = losses.ContrastiveLoss(reducer=reducers.PerAnchorReducer())
    with pytest.raises(ValueError, match="DenselyAnchoredSampling cannot wrap ContrastiveLoss with a PerAnchorReducer"):
        DenselyAnchoredSampling(loss, C, D, anchors="originals")


# ---- statistics and randomness


def test_of_equally_frequent_channels_the_lowest_come_first():
    counts = ChannelCounts(1, 4)
    counts.count.copy_(torch.tensor([[1, 3, 1, 3]]))
    assert counts.most_frequent(torch.tensor([0]), 3).tolist() == [[1, 3, 0]]


def test_the_bank_takes_many_differences_as_one_loop_over_classes_would():
    torch.manual_seed(3)
    bank = DifferenceBank(3, 2, size=5)
    differences, places = torch.zeros(3, 5, 2), [0, 0, 0]
    for _ in range(20):
        size = int(torch.randint(1, 9, ()))
        rows, labels = torch.randint(3, (size, 2)).float(), torch.randint(3, (size,))
        bank.update(rows, labels)
        for label in range(3):
            of_class = rows[labels == label]
            found = [a - b for a in of_class for b in of_class if bool((a != b).any())]
            if len(found) > 5:
                differences[label] = torch.stack(found[-5:])
                continue
            for each in found:
                places[label] = 0 if places[label] == 5 else places[label]
                differences[label, places[label]] = each
                places[label] += 1
        assert torch.equal(bank.differences, differences) and bank.place.tolist() == places
        assert torch.equal(bank.filled, (differences != 0).any(dim=2).sum(dim=1))


@pytest.mark.slow
def test_factors_and_differences_are_drawn_uniformly():
    loss = losses.ContrastiveLoss()
    calls = rows_given(loss)
    options = {"num_copies": 2000, "num_channels": 1, "scale_range": (0.5, 2.0), "normalize": False}
    wrapper = DenselyAnchoredSampling(loss, 1, 2, **options)
    rows = torch.tensor([[0.0, 1.0], [0.0, 2.0]])
    wrapper(rows, torch.tensor([0, 0]), generator=torch.Generator().manual_seed(0))
    copies = calls[0][0][2:].unflatten(0, (2000, 2))[:, 0, 1]
    # of a uniform number on [0.5, 2] the mean is 1.25, its standard error 0.43 / 2000^0.5
    assert abs(copies.mean() - 1.25) < 4 * 0.44 / 2000**0.5
    assert copies.min() >= 0.49 and copies.max() <= 2.01


def test_the_generator_decides_all_draws():
    embeddings, labels = batch()

    def drawn(seed):
        torch.manual_seed(seed + 100)
        wrapper = DenselyAnchoredSampling(losses.MultiSimilarityLoss(), C, D)
        return wrapper(embeddings, labels, generator=torch.Generator().manual_seed(seed)).item()

    assert drawn(1) == drawn(1) and drawn(1) != drawn(2)
    state = torch.get_rng_state()
    DenselyAnchoredSampling(losses.ContrastiveLoss(), C, D)(embeddings, labels, generator=torch.Generator())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_training_resumed_from_its_state_goes_on_alike():
    def trained(wrapper, seed):
        generator = torch.Generator().manual_seed(seed)
        rows = [torch.randn(8, D, generator=generator) for _ in range(3)]
        return [wrapper(each, torch.arange(8) % C, generator=generator).item() for each in rows]

    wrapper, other = (DenselyAnchoredSampling(losses.MultiSimilarityLoss(), C, D, shift=1.0) for _ in range(2))
    trained(wrapper, 0)
    other.load_state_dict(wrapper.state_dict())
    assert trained(wrapper, 1) == trained(other, 1)


# ---- refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_copies": -1}, "num_copies must be at least 0"),
        ({"num_channels": 0}, "num_channels must be at least 1"),
        ({"num_channels": D + 1}, r"num_channels must be at most embedding_size \(8\), but got 9"),
        ({"scale_range": (1.0, 0.5)}, r"scale_range\[1\] must be at least 1.0, but got 0.5"),
        ({"scale_range": (1.0,)}, "scale_range must be two numbers"),
        ({"bank_size": 0}, "bank_size must be at least 1"),
        ({"shift": -0.1}, "shift must be at least 0"),
        ({"original_weight": -1}, "original_weight must be at least 0"),
        ({"normalize": 1}, "normalize must be True or False"),
        ({"detach": "no"}, "detach must be True or False"),
        ({"anchors": "some"}, "anchors must be "),
        ({"miner": miners.EmbeddingsAlreadyPackagedAsTriplets()}, "in which no copy would ever be"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        DenselyAnchoredSampling(losses.ContrastiveLoss(), C, D, **arguments)


def test_losses_that_a_copy_cannot_reach_are_those_that_other_copies_cannot_reach():
    refused = refused_by("DenselyAnchoredSampling")
    assert refused == refused_by("IntraClassAdaptiveAugmentation") and "NPairsLoss" in refused


def test_an_introspective_distance_is_refused():
    loss = losses.ContrastiveLoss(distance=IntrospectiveSimilarity(D // 2))
    with pytest.raises(ValueError, match="with an introspective distance"):
        DenselyAnchoredSampling(loss, C, D)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"indices_tuple": tuple(torch.tensor([row]) for row in (0, 4, 1))},
            "takes no `indices_tuple`.*give the miner",
        ),
        ({"ref_emb": torch.randn(2, D), "ref_labels": torch.arange(2)}, "takes no `ref_emb`"),
        ({"scale": torch.ones(1, 8, 4)}, r"`scale` must be of shape \(3, 8, 4\), but got \(1, 8, 4\)"),
        ({"choice": torch.zeros(3, 7, dtype=torch.long)}, r"`choice` must be of shape \(3, 8\), but got \(3, 7\)"),
    ],
)
def test_calls_that_copies_do_not_fit_are_refused_before_the_state_changes(arguments, message):
    wrapper = DenselyAnchoredSampling(losses.ContrastiveLoss(), C, D)
    with pytest.raises(ValueError, match=message):
        wrapper(*batch(), **arguments)
    assert wrapper.counts.count.sum() == 0 and wrapper.bank.filled.sum() == 0


def test_rows_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"`embeddings` must have 8 columns \(embedding_size\), but got 5"):
        DenselyAnchoredSampling(losses.ContrastiveLoss(), C, D)(torch.randn(4, 5), torch.arange(4))
