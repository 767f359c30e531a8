"""Copies with less than the variance of their class: what they keep, and where they are the same."""

import copy
import io

import pytest
import torch
from iaa_cases import NUM_CLASSES, SIZE, batch, wrap
from measuring import value_and_gradient
from pytorch_metric_learning import losses, miners

from pml_aug.statistics import isotropic_variance, shared_variance
from pml_aug.wrappers import EmbeddingExpansion, IntraClassAdaptiveAugmentation

CONTROLS = ("shared", "isotropic", "shuffled")


def training_set(num_classes=NUM_CLASSES, size=SIZE, per_class=10):
    """Classes of different spread, and dimensions too."""
    labels = torch.arange(num_classes * per_class) % num_classes
    spread = (1 + labels)[:, None] * torch.linspace(0.5, 2.0, size)
    return spread * torch.randn(len(labels), size, generator=torch.Generator().manual_seed(2)), labels


def refreshed(variances, num_classes=NUM_CLASSES, size=SIZE, **options):
    wrapper = IntraClassAdaptiveAugmentation(
        losses.MultiSimilarityLoss(), num_classes, size, variances=variances, neighbor_correction=False, **options
    )
    wrapper.refresh(*training_set(num_classes, size))
    return wrapper


@pytest.mark.parametrize("variances", CONTROLS)
def test_the_mean_over_the_classes_is_kept(variances):
    own, control = refreshed("class").variance, refreshed(variances).variance
    torch.testing.assert_close(control.mean(), own.mean())
    if variances != "isotropic":
        torch.testing.assert_close(control.mean(dim=0), own.mean(dim=0))
    assert not torch.allclose(control, own)


def test_what_each_control_takes_away():
    own = refreshed("class").variance
    assert len(refreshed("isotropic").variance.unique()) == 1
    shared = refreshed("shared").variance
    assert torch.equal(shared, shared[:1].expand_as(shared)) and len(shared[0].unique()) == SIZE
    shuffled = refreshed("shuffled")
    assert torch.equal(shuffled.variance, own[shuffled.others])
    assert (shuffled.others != torch.arange(NUM_CLASSES)).all()
    assert shuffled.others.sort().values.tolist() == list(range(NUM_CLASSES))


@pytest.mark.parametrize(
    ("variances", "num_classes", "size"), [("shared", 1, 5), ("isotropic", 1, 1), ("shuffled", 1, 5)]
)
def test_where_nothing_can_be_taken_away_it_is_the_method_to_the_last_bit(variances, num_classes, size):
    rows, labels = torch.randn(6, size), torch.zeros(6, dtype=torch.long)
    noise = torch.randn(3, 6, size)
    wrappers = [refreshed(kind, num_classes, size) for kind in ("class", variances)]
    values = [value_and_gradient(wrapper, rows, labels, noise=noise) for wrapper in wrappers]
    assert torch.equal(wrappers[0].variance, wrappers[1].variance)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(*values, strict=True))


@pytest.mark.parametrize("variances", CONTROLS)
def test_between_classes_of_equal_isotropic_variance_there_is_no_difference(variances):
    rows = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]).repeat(3, 1) + torch.arange(3.0).repeat_interleave(2)[:, None]
    labels = torch.arange(3).repeat_interleave(2)
    wrapper = IntraClassAdaptiveAugmentation(losses.TripletMarginLoss(), 3, 2, variances=variances)
    wrapper.refresh(rows, labels)
    torch.testing.assert_close(wrapper.variance, torch.ones(3, 2))


def test_classes_that_were_never_seen_do_not_count():
    variance, seen = torch.tensor([[2.0, 4.0], [0.0, 0.0], [4.0, 6.0]]), torch.tensor([True, False, True])
    assert shared_variance(variance, seen).tolist() == [[3.0, 5.0]] * 3
    assert isotropic_variance(variance, seen).tolist() == [[4.0, 4.0]] * 3


@pytest.mark.parametrize("variances", CONTROLS)
def test_a_second_refresh_keeps_the_classes_whose_variances_are_exchanged(variances):
    wrapper = refreshed(variances)
    others = None if wrapper.others is None else wrapper.others.clone()
    rows, labels = training_set()
    wrapper.refresh(2 * rows, labels)
    torch.testing.assert_close(wrapper.variance.mean(), wrapper.statistics.variance.mean())
    if others is not None:
        assert torch.equal(wrapper.others, others)


@pytest.mark.parametrize("neighbor_correction", [False, True])
@pytest.mark.parametrize("variances", CONTROLS)
def test_saved_and_loaded_it_goes_on_alike(variances, neighbor_correction):
    options = {"variances": variances, "neighbor_correction": neighbor_correction}
    loss, other = wrap(losses.MultiSimilarityLoss(), **options), wrap(losses.MultiSimilarityLoss(), **options)
    loss.refresh(*training_set())
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(loss.variance, other.variance)
    for each in (loss, other):
        each.refresh(*training_set(per_class=4))
    assert torch.equal(loss.variance, other.variance)
    assert torch.equal(copy.deepcopy(loss).variance, loss.variance)


@pytest.mark.parametrize("variances", CONTROLS)
def test_corrected_variances_are_what_is_replaced(variances):
    rows, labels = training_set()
    corrected = wrap(losses.MultiSimilarityLoss(), refreshed=False, neighbor_correction=True)
    control = wrap(losses.MultiSimilarityLoss(), refreshed=False, neighbor_correction=True, variances=variances)
    for each in (corrected, control):
        each.refresh(rows, labels)
    torch.testing.assert_close(control.variance.mean(), corrected.variance.mean())
    assert not torch.allclose(control.variance, corrected.variance)


@pytest.mark.parametrize("variances", CONTROLS)
def test_gradient_is_that_of_the_copies(variances):
    wrapper, (rows, labels) = refreshed(variances).double(), batch(dtype=torch.float64)
    noise = torch.randn(3, *rows.shape, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda rows: wrapper(rows, labels, noise=noise), rows.requires_grad_())


@pytest.mark.parametrize("variances", CONTROLS)
def test_it_goes_around_expansion_and_miners_as_the_method_does(variances):
    rows, labels = batch()
    for loss, miner in (
        (EmbeddingExpansion(losses.TripletMarginLoss()), None),
        (losses.TripletMarginLoss(), miners.BatchHardMiner()),
    ):
        assert torch.isfinite(wrap(loss, miner, variances=variances)(rows, labels))


def test_another_choice_is_refused_by_name():
    with pytest.raises(ValueError, match="variances"):
        refreshed("full")
