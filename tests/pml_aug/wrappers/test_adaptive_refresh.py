"""What a refresh makes of the embeddings of a training set."""

import copy

import pytest
import torch
from iaa_cases import NUM_CLASSES, SIZE, wrap
from pytorch_metric_learning import losses

from pml_aug.wrappers import IntraClassAdaptiveAugmentation


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
    assert plain.variance_of_copies is None and plain.variance is plain.statistics.variance
    assert torch.equal(corrected.statistics.variance, plain.statistics.variance)
    statistics = corrected.statistics
    expected = corrected.correction(statistics.mean, statistics.variance, statistics.count)
    torch.testing.assert_close(corrected.variance, expected)
    assert not torch.allclose(corrected.variance, plain.variance)


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("scale", [1e12, 1e20])  # distances of squared means overflow, variances overflow
def test_a_refresh_that_fails_changes_nothing(corrected, scale):
    labels = torch.arange(30) % NUM_CLASSES
    wrapper = wrap(losses.ContrastiveLoss(), neighbor_correction=corrected)
    before = copy.deepcopy(wrapper.state_dict())
    if corrected or scale > 1e15:
        with pytest.raises(ValueError, match="not finite|too large"):
            wrapper.refresh(scale * torch.randn(30, SIZE), labels)
        assert all(torch.equal(value, before[name]) for name, value in wrapper.state_dict().items())
    wrapper.refresh(torch.randn(30, SIZE), labels)
    assert torch.isfinite(wrapper.variance).all()


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
