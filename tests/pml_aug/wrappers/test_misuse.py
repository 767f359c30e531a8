"""Trainings that are likely not what their author meant are warned about once; others are not."""

import warnings

import pytest
import torch
from batches import random_batch
from pytorch_metric_learning import losses, miners, trainers

from pml_aug.hooks import refresh_statistics
from pml_aug.miners import ExpansionMiner
from pml_aug.wrappers import (
    CrossBatchMemory,
    EmbeddingExpansion,
    IntraClassAdaptiveAugmentation,
    ProxySynthesis,
    base,
    intra_class_adaptive_augmentation,
    misuse,
)

C, D = 4, 8


@pytest.fixture(autouse=True)
def _nothing_warned_about_yet(monkeypatch):
    misuse.warn_once.cache_clear()
    monkeypatch.setattr(base, "CALLS_BEFORE_CHECK", 25)


def warned_of(call):
    """The messages of the warnings of pml_aug in a call."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return [str(warning.message) for warning in found if "pml_aug" in str(warning.message) or "pass" in str(warning)]


# ---- parameters without an optimizer


def train(loss, parameters, steps=30, accumulate=1):
    trunk = torch.nn.Linear(5, D)
    optimizer = torch.optim.SGD([*trunk.parameters(), *parameters], lr=0.01)
    for step in range(steps):
        rows, labels = random_batch(num_classes=C, width=5)
        loss(trunk(rows), labels).backward()
        if step % accumulate == accumulate - 1:
            optimizer.step()
            optimizer.zero_grad()


def make_losses():
    proxies = losses.ProxyAnchorLoss(C, D)
    return {
        "ps": ProxySynthesis(proxies),
        "ee": EmbeddingExpansion(proxies),
        "iaa of ps": IntraClassAdaptiveAugmentation(ProxySynthesis(proxies), C, D, strength=0.0),
        "margin": EmbeddingExpansion(losses.MarginLoss(learn_beta=True, num_classes=C)),
    }


@pytest.mark.parametrize("name", make_losses())
def test_parameters_of_a_loss_without_an_optimizer_are_warned_about_once(name):
    loss = make_losses()[name]
    found = [message for message in warned_of(lambda: train(loss, [], steps=60)) if "optimizer" in message]
    (parameter,) = (parameter.rsplit(".", 1)[-1] for parameter, _ in loss.named_parameters())
    assert len(found) == 1 and f"the parameters {parameter} of" in found[0]


@pytest.mark.parametrize("name", make_losses())
@pytest.mark.parametrize("accumulate", [1, 10])
def test_parameters_with_an_optimizer_are_not(name, accumulate):
    loss = make_losses()[name]
    assert not warned_of(lambda: train(loss, loss.parameters(), accumulate=accumulate))


def test_frozen_parameters_and_calls_without_gradient_are_not():
    frozen = ProxySynthesis(losses.ProxyAnchorLoss(C, D)).requires_grad_(False)
    assert not warned_of(lambda: train(frozen, []))
    evaluated = ProxySynthesis(losses.ProxyAnchorLoss(C, D))
    assert not warned_of(lambda: [evaluated(*random_batch(num_classes=C, width=D)) for _ in range(30)])


# ---- statistics that are never refreshed


def train_with_pml(loss, epochs, hook=None):
    trainers.MetricLossOnly(
        models={"trunk": torch.nn.Linear(5, D)},
        optimizers={},
        batch_size=12,
        loss_funcs={"metric_loss": loss},
        dataset=list(zip(torch.randn(36, 5), torch.arange(36) % C, strict=True)),
        dataloader_num_workers=0,
        data_device=torch.device("cpu"),
        **{} if hook is None else {"end_of_epoch_hook": hook},
    ).train(num_epochs=epochs)


def adaptive():
    return IntraClassAdaptiveAugmentation(losses.ContrastiveLoss(), C, D)


def test_an_epoch_without_statistics_is_warned_about_once():
    loss = adaptive()
    assert not warned_of(lambda: train_with_pml(loss, epochs=1))
    (message,) = warned_of(lambda: train_with_pml(loss, epochs=3))
    assert "call `refresh`" in message and "refresh_statistics" in message


def test_many_calls_without_statistics_are_warned_about_once(monkeypatch):
    monkeypatch.setattr(intra_class_adaptive_augmentation, "CALLS_WITHOUT_REFRESH", 10)
    loss = adaptive()
    assert not warned_of(lambda: train(loss, [], steps=9))
    assert len(warned_of(lambda: train(loss, [], steps=9))) == 1


def test_a_refresh_or_a_hook_that_will_refresh_is_not(monkeypatch):
    monkeypatch.setattr(intra_class_adaptive_augmentation, "CALLS_WITHOUT_REFRESH", 10)
    refreshed = adaptive()
    refreshed.refresh(torch.randn(40, D), torch.arange(40) % C)
    assert not warned_of(lambda: train_with_pml(refreshed, epochs=3))
    assert not warned_of(lambda: train_with_pml(adaptive(), epochs=3, hook=refresh_statistics(first_epoch=30)))


# ---- a miner outside of the expansion


def test_tuples_that_were_mined_without_the_points_are_warned_about_once():
    rows, labels = random_batch(num_classes=C, width=D)
    loss, found = EmbeddingExpansion(losses.TripletMarginLoss()), miners.BatchHardMiner()(rows, labels)
    messages = warned_of(lambda: [loss(rows, labels, found) for _ in range(3)])
    assert len(messages) == 1 and "pass the miner to EmbeddingExpansion" in messages[0]


def test_tuples_that_were_mined_with_the_points_are_not():
    rows, labels = random_batch(num_classes=C, width=D)
    found = ExpansionMiner(miners.BatchHardMiner())(rows, labels)
    memory = CrossBatchMemory(EmbeddingExpansion(losses.TripletMarginLoss()), D, 24, miner=miners.BatchHardMiner())
    assert not warned_of(lambda: EmbeddingExpansion(losses.TripletMarginLoss())(rows, labels, found))
    assert not warned_of(lambda: EmbeddingExpansion(losses.TripletMarginLoss(), num_points=0)(rows, labels, found))
    assert not warned_of(lambda: memory(rows, labels))


def test_pmls_record_keeper_reads_a_wrapper_after_a_training_call(tmp_path):
    logging_presets = pytest.importorskip("pytorch_metric_learning.utils.logging_presets")
    pytest.importorskip("record_keeper")
    loss = ProxySynthesis(losses.ProxyAnchorLoss(2, 4))
    loss(torch.randn(8, 4, requires_grad=True), torch.arange(8) % 2)
    keeper, _, _ = logging_presets.get_record_keeper(str(tmp_path / "csv"), str(tmp_path / "tensorboard"))
    keeper.update_records({"metric_loss": loss}, 0, recursive_types=[torch.nn.Module, dict])
