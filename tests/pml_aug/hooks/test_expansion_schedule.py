"""The rows that Spherical Embedding Expansion expands grow from epoch to epoch as in the official code."""

from types import SimpleNamespace

import pytest
from pytorch_metric_learning import losses

from pml_aug.hooks import fraction_at, min_cosine_at, schedule_expansion
from pml_aug.wrappers import SphericalEmbeddingExpansion


def test_both_schedules_are_the_recorded_ones(golden):
    file = golden("seeschedule_00")
    meta = file.meta
    limits = {"maximum": meta["max_thresh"], "minimum": meta["min_thresh"]}
    for row, at in ((0, min_cosine_at), (1, fraction_at)):
        found = [at(epoch + 1, meta["epochs"], **limits) for epoch in file.epoch.tolist()]
        assert found == pytest.approx(file.threshold[row].tolist(), rel=1e-12, abs=1e-15)


def test_a_long_training_stays_at_the_maximum_after_200_epochs():
    assert fraction_at(201, 1000) == fraction_at(1000, 1000) == 0.4
    assert min_cosine_at(1000, 1000, 0.4, 0.0, lower_bound=0.1) == 0.1


@pytest.mark.parametrize(
    ("select", "attribute", "at"), [("fraction", "fraction", fraction_at), ("cosine", "min_cosine", min_cosine_at)]
)
def test_the_hook_sets_the_value_of_the_next_epoch(select, attribute, at):
    wrapper = SphericalEmbeddingExpansion(losses.ProxyAnchorLoss(4, 16), select=select)
    loss = losses.MultipleLosses([wrapper])
    hook = schedule_expansion(num_epochs=10, then=lambda trainer: False)
    for epoch in (1, 5, 10):
        assert hook(SimpleNamespace(epoch=epoch, loss_funcs={"metric_loss": loss})) is False
        assert getattr(wrapper, attribute) == at(min(epoch + 1, 10), 10)


def test_a_trainer_without_such_a_wrapper_is_refused():
    trainer = SimpleNamespace(epoch=1, loss_funcs={"metric_loss": losses.ContrastiveLoss()})
    with pytest.raises(ValueError, match="found no SphericalEmbeddingExpansion .* 'ContrastiveLoss'"):
        schedule_expansion(num_epochs=10)(trainer)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_epochs": 0}, "num_epochs must be at least 1"),
        ({"num_epochs": 5, "maximum": 2}, "maximum must be between 0 and 1"),
        ({"num_epochs": 5, "minimum": -1}, "minimum must be between 0 and 1"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        schedule_expansion(**arguments)
