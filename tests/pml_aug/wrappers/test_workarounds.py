"""Losses of PML that need more than PML gives them: right by hand, in every wrapper, and as they were afterwards."""

import contextlib
import copy

import pytest
import torch
from measuring import value_and_gradient
from pytorch_metric_learning import distances, losses, reducers
from torch.nn.functional import normalize

from pml_aug.wrappers import CrossBatchMemory, EmbeddingExpansion, IntraClassAdaptiveAugmentation
from pml_aug.wrappers.workarounds import with_workarounds

SIZE, CLASSES, TEMPERATURE = 8, 6, 0.1


def adapted(loss, num_copies=2):
    wrapper = IntraClassAdaptiveAugmentation(loss, CLASSES, SIZE, num_copies=num_copies)
    wrapper.refresh(0.3 * torch.randn(60, SIZE), torch.arange(60) % CLASSES)
    return wrapper


def smooth_ap_by_hand(rows, labels):
    """One minus the mean over anchors and their positives of the ranks among positives and among all."""
    rows = normalize(rows)
    likeness = rows @ rows.T
    precisions = []
    for anchor in range(len(rows)):
        positives = (labels == labels[anchor]).nonzero().flatten().tolist()
        ratios = []
        for positive in positives:
            before = torch.sigmoid((likeness[anchor] - likeness[anchor, positive]) / TEMPERATURE)
            rank = 1 + before.sum() - before[positive]
            rank_among_positives = 1 + before[positives].sum() - before[positive]
            ratios.append(rank_among_positives / rank)
        precisions.append(torch.stack(ratios).mean())
    return 1 - torch.stack(precisions).mean()


LAYOUTS = {
    "as many classes as rows of each, side by side": torch.arange(16) // 4,
    "interleaved": torch.arange(16) % 4,
    "more classes than rows of each": torch.arange(12) // 2,
    "fewer": torch.arange(12) % 2,
    "in no order": torch.tensor([2, 0, 1, 1, 0, 2, 2, 1, 0]),
    "one class": torch.zeros(5, dtype=torch.long),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda loss: EmbeddingExpansion(loss, num_points=0),
        lambda loss: adapted(loss, num_copies=0),
        lambda loss: adapted(EmbeddingExpansion(loss, num_points=0), num_copies=0),
    ],
)
def test_smooth_ap_is_right_in_any_balanced_batch(wrap, layout):
    labels = LAYOUTS[layout]
    rows = torch.randn(len(labels), SIZE, dtype=torch.float64, requires_grad=True)
    value = wrap(losses.SmoothAPLoss(temperature=TEMPERATURE))(rows, labels)
    expected = smooth_ap_by_hand(rows, labels)
    torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=1e-7)  # PML gathers it in float32
    gradients = (torch.autograd.grad(each, rows)[0] for each in (value, expected))
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-7)


def test_as_pml_has_it_smooth_ap_is_right_only_side_by_side_with_as_many_classes_as_rows():
    right = [
        torch.allclose(
            losses.SmoothAPLoss(temperature=TEMPERATURE)(rows := torch.randn(len(labels), SIZE), labels),
            smooth_ap_by_hand(rows, labels),
            rtol=1e-4,
        )
        for labels in list(LAYOUTS.values())[:-1]
    ]
    assert right == [True, False, False, False, False]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_copies_are_further_members_of_their_class_to_smooth_ap(layout):
    labels = LAYOUTS[layout]
    wrapper = adapted(losses.SmoothAPLoss(temperature=TEMPERATURE))
    rows, noise = torch.randn(len(labels), SIZE), torch.randn(2, len(labels), SIZE)
    std = (wrapper.strength * wrapper.variance[labels]).sqrt()
    everything = torch.cat([rows, *(rows + std * draw for draw in noise)])
    expected = smooth_ap_by_hand(everything, labels.repeat(3))
    torch.testing.assert_close(wrapper(rows, labels, noise=noise), expected, rtol=1e-4, atol=1e-5)


def test_expanded_negatives_reach_smooth_ap_in_any_order():
    rows, labels = torch.randn(12, SIZE), torch.arange(12) % 3
    order = torch.randperm(12)
    loss = EmbeddingExpansion(losses.SmoothAPLoss(temperature=TEMPERATURE), num_points=3, pairing="all_pairs")
    value = loss(rows, labels)
    assert value > smooth_ap_by_hand(rows, labels) + 1e-3
    torch.testing.assert_close(loss(rows[order], labels[order]), value)


def test_rows_and_their_losses_keep_their_places():
    rows, labels = torch.randn(9, SIZE), LAYOUTS["in no order"]
    loss = losses.SmoothAPLoss(temperature=TEMPERATURE, reducer=reducers.DoNothingReducer())
    wrapper = EmbeddingExpansion(loss, num_points=0)
    each = wrapper(rows, labels)["ap_loss"]["losses"]
    order = torch.randperm(9)
    torch.testing.assert_close(wrapper(rows[order], labels[order])["ap_loss"]["losses"], each[order])
    weighed = wrapper(rows, labels, (torch.tensor([0, 0]), torch.tensor([2, 2]), torch.tensor([1, 3])))
    expected = each * torch.tensor([1, 0.5, 1, 0.5, 0, 0, 0, 0, 0])  # by how often a row is in a triplet
    torch.testing.assert_close(weighed["ap_loss"]["losses"], expected)


def test_an_unbalanced_batch_is_refused_by_pml():
    with pytest.raises(ValueError, match="All classes must have the same number of elements"):
        adapted(losses.SmoothAPLoss())(torch.randn(5, SIZE), torch.tensor([0, 0, 1, 1, 1]))


WITH_DUPLICATES = torch.eye(4, SIZE).repeat(2, 1), torch.arange(8) % 4, torch.arange(8) // 2


@pytest.mark.parametrize("loss", [losses.TupletMarginLoss, losses.HistogramLoss])
@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("wrap", [EmbeddingExpansion, adapted, lambda loss: adapted(EmbeddingExpansion(loss))])
def test_duplicates_leave_value_and_gradient_finite(wrap, across, loss):
    rows, *labels = WITH_DUPLICATES
    rows = (1.7 * rows).requires_grad_()
    value = wrap(loss())(rows, labels[across])
    (gradient,) = torch.autograd.grad(value, rows)
    assert torch.isfinite(value) and torch.isfinite(gradient).all()


@pytest.mark.slow
@pytest.mark.parametrize("wrap", [EmbeddingExpansion, adapted, lambda loss: CrossBatchMemory(loss, SIZE)])
def test_dynamic_soft_margin_trains_and_is_copied(wrap):
    loss = wrap(losses.DynamicSoftMarginLoss())
    for _ in range(30):
        rows = torch.randn(16, SIZE, requires_grad=True)
        (gradient,) = torch.autograd.grad(loss(rows, torch.arange(16) // 4), rows)
        assert torch.isfinite(gradient).all()
    copy.deepcopy(loss)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 0, 1], 0.5),  # differences 2 and 0: half of them lie at or below 0, and half below 2
        ([0, 1, 0], -2.0),  # -2 twice
    ],
)
def test_dynamic_soft_margin_has_a_bin_for_the_largest_difference(labels, expected):
    ends = torch.eye(1, SIZE) * torch.tensor([[1.0], [-1.0], [1.0]])
    value = EmbeddingExpansion(losses.DynamicSoftMarginLoss(), num_points=0)(ends, torch.tensor(labels))
    assert abs(value - expected) < 1e-4  # of steps that distances stay away from 2


def test_dynamic_soft_margin_gives_first_what_the_host_library_gives():
    rows, labels = 0.1 * torch.randn(12, SIZE) + torch.eye(4, SIZE).repeat_interleave(3, 0), torch.arange(12) // 3
    prepared_loss, baseline = (
        EmbeddingExpansion(losses.DynamicSoftMarginLoss(), num_points=0),
        losses.DynamicSoftMarginLoss(),
    )
    for mine, theirs in zip(
        *(value_and_gradient(loss, rows, labels) for loss in (prepared_loss, baseline)), strict=True
    ):
        assert torch.equal(mine, theirs)


def test_a_row_that_the_memory_holds_already_leaves_the_gradient_finite():
    rows, labels, _ = WITH_DUPLICATES
    memory = CrossBatchMemory(losses.TupletMarginLoss(), SIZE, memory_size=32)
    memory(rows, labels)
    rows = rows.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(memory(rows, labels), rows)
    assert torch.isfinite(gradient).all()


def test_a_histogram_of_anything_but_cosines_is_left_to_pml():
    loss = losses.HistogramLoss(distance=distances.LpDistance())
    rows, labels, _ = WITH_DUPLICATES
    with pytest.raises(RuntimeError, match="out of bounds"):
        EmbeddingExpansion(loss)(rows, labels)


@pytest.mark.parametrize("loss", [losses.SmoothAPLoss, losses.TupletMarginLoss, losses.ContrastiveLoss])
def test_afterwards_the_loss_is_as_it_was(loss):
    loss = loss()
    before = dict(vars(loss))
    with pytest.raises(RuntimeError, match="on purpose"), with_workarounds(loss):
        raise RuntimeError("on purpose")
    assert vars(loss) == before


class Failing(reducers.MeanReducer):
    def forward(self, *arguments):
        raise RuntimeError("on purpose")


def test_a_computation_that_the_user_set_is_used_and_kept():
    loss = losses.NCALoss()
    compute, calls = loss.compute_loss, []

    def of_user(*arguments):
        calls.append(len(arguments))
        return compute(*arguments)

    loss.compute_loss = of_user
    wrapper = EmbeddingExpansion(loss)
    for _ in range(2):
        wrapper(torch.randn(6, SIZE), torch.arange(6) // 2)
    assert len(calls) == 2 and vars(loss)["compute_loss"] is of_user


def test_a_call_that_fails_leaves_the_histogram_of_dynamic_soft_margin_as_it_was():
    loss = losses.DynamicSoftMarginLoss()
    wrapper, (rows, labels) = EmbeddingExpansion(loss), (torch.randn(12, SIZE), torch.arange(12) // 3)
    wrapper(rows, labels)
    histogram, reducer = loss.hist_.clone(), loss.reducer
    loss.reducer = Failing()
    with pytest.raises(RuntimeError, match="on purpose"):
        wrapper(2 * rows.flip(0), labels)
    loss.reducer = reducer
    assert torch.equal(loss.hist_, histogram)


@pytest.mark.parametrize("calls_before", [0, 1])
def test_differences_that_are_not_finite_leave_the_histogram_as_it_was(calls_before):
    class Overflowing(distances.LpDistance):
        factor = 1.0

        def compute_mat(self, query_emb, ref_emb):
            return super().compute_mat(query_emb, ref_emb) * self.factor

    loss = losses.DynamicSoftMarginLoss(distance=Overflowing())
    rows, labels = torch.randn(12, SIZE), torch.arange(12) // 3
    for _ in range(calls_before):
        with with_workarounds(loss):
            loss(rows, labels)
    before = loss.hist_.clone()
    loss.distance.factor = float("nan")
    with contextlib.suppress(RuntimeError, IndexError), with_workarounds(loss):  # NaN is no index of a bin
        loss(rows, labels)
    loss.distance.factor = 1.0
    assert torch.equal(loss.hist_[: len(before)], before) and not loss.hist_[len(before) :].any()
    with with_workarounds(loss):
        assert torch.isfinite(loss(rows, labels)) and torch.isfinite(loss.hist_).all()


@pytest.mark.parametrize("wrap", [lambda loss: EmbeddingExpansion(loss, num_points=0), adapted])
def test_nca_without_positives_is_zero(wrap):
    rows = torch.randn(4, SIZE, requires_grad=True)
    value = wrap(losses.NCALoss())(rows, torch.arange(4))
    (gradient,) = torch.autograd.grad(value, rows)
    assert torch.isfinite(value) and torch.isfinite(gradient).all()
