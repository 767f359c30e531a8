"""The hook that refreshes class statistics in PML's trainers, and the schedule of the strength."""

import copy
import pickle

import pytest
import torch
from pytorch_metric_learning import losses, miners, trainers
from torch import nn

from pml_aug.hooks import refresh_statistics, strength_at
from pml_aug.statistics import ClassStatistics
from pml_aug.wrappers import CrossBatchMemory, EmbeddingExpansion, IntraClassAdaptiveAugmentation

NUM_CLASSES, SIZE, IMAGES = 3, 4, 18


def wrap(**options):
    loss = losses.MultiSimilarityLoss()
    miner = miners.MultiSimilarityMiner()
    return IntraClassAdaptiveAugmentation(
        loss, NUM_CLASSES, SIZE, miner, **{"neighbor_correction": False, "momentum": 0.0} | options
    )


class Recorded(nn.Module):
    """Notes how often, on how many rows, with gradient or without, the trunk was called."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, rows):
        self.calls.append((len(rows), torch.is_grad_enabled(), self.training))
        return rows


def trainer_of(loss, hook, **options):
    torch.manual_seed(1)
    images, labels = torch.rand(IMAGES, 3, 6, 6), torch.arange(IMAGES) % NUM_CLASSES
    trunk = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), Recorded())
    models = {"trunk": trunk, "embedder": nn.Linear(5 * 16, SIZE)}
    return trainers.MetricLossOnly(
        models=models,
        optimizers={f"{name}_optimizer": torch.optim.SGD(model.parameters(), lr=0.1) for name, model in models.items()},
        loss_funcs={"metric_loss": loss},
        dataset=list(zip(images, labels, strict=True)),
        end_of_epoch_hook=hook,
        **{"batch_size": 6, "dataloader_num_workers": 0, "data_device": torch.device("cpu")} | options,
    )


def evaluations(trainer):
    """The calls of the trunk without gradient."""
    return [rows for rows, with_gradient, _ in trainer.models["trunk"][-1].calls if not with_gradient]


# ---- which epochs


@pytest.mark.parametrize(
    ("first_epoch", "every", "expected"), [(2, 1, [1, 2, 3, 4, 5]), (2, 2, [1, 3, 5]), (4, 2, [3, 5]), (31, 2, [])]
)
def test_statistics_are_taken_at_the_end_of_the_epoch_before(first_epoch, every, expected):
    wrapper, found = wrap(), []

    def note(trainer):
        if evaluations(trainer):
            found.append(trainer.epoch)
        trainer.models["trunk"][-1].calls.clear()

    trainer_of(wrapper, refresh_statistics(first_epoch, every, then=note)).train(num_epochs=5)
    assert found == expected
    assert wrapper.statistics.is_empty == (not expected)
    assert wrapper.statistics.count.sum() == IMAGES * len(expected)


def test_the_official_epochs_are_the_default():
    """Epochs 31, 33, ... start with new statistics."""
    wrapper = wrap()
    hook = refresh_statistics()
    trainer = trainer_of(wrapper, hook)
    renewed = []
    for trainer.epoch in range(1, 40):
        before = int(wrapper.statistics.count.sum())
        hook(trainer)
        if wrapper.statistics.count.sum() > before:
            renewed.append(trainer.epoch + 1)
    assert renewed == [31, 33, 35, 37, 39]


def test_training_goes_from_the_bare_loss_to_copies():
    wrapper = wrap()
    seen = []
    wrapper.register_forward_hook(lambda module, inputs, output: seen.append(module.statistics.is_empty))
    trainer_of(wrapper, refresh_statistics(first_epoch=3, every=1)).train(num_epochs=4)
    assert seen == [True] * 6 + [False] * 6


# ---- from which images, and how


def test_statistics_are_those_of_the_whole_set_by_the_models_as_they_are():
    wrapper = wrap()
    trainer = trainer_of(wrapper, refresh_statistics(first_epoch=2, batch_size=4))
    trainer.train(num_epochs=1)
    images, labels = (torch.stack(column) for column in zip(*trainer.dataset, strict=True))
    trainer.models["trunk"].eval()
    with torch.no_grad():
        embeddings = trainer.models["embedder"](trainer.models["trunk"](images))
    expected = ClassStatistics(NUM_CLASSES, SIZE)
    expected.update(embeddings, labels)
    torch.testing.assert_close(wrapper.statistics.mean, expected.mean)
    torch.testing.assert_close(wrapper.variance, expected.variance)


def test_every_image_is_read_once_without_gradient_in_training_mode():
    trainer = trainer_of(wrap(), refresh_statistics(first_epoch=2, batch_size=4))
    trainer.train(num_epochs=1)
    calls = trainer.models["trunk"][-1].calls[3:]
    assert calls == [(4, False, True)] * 4 + [(2, False, True)]


def test_batchnorm_is_fixed_and_every_mode_is_given_back():
    wrapper = wrap()
    hook = refresh_statistics(first_epoch=2)
    trainer = trainer_of(wrapper, hook)
    trainer.epoch = 1
    trainer.models["trunk"].eval()
    trainer.models["trunk"][0].train()
    norm, before = trainer.models["trunk"][1], copy.deepcopy(trainer.models["trunk"].state_dict())
    modes = [module.training for module in trainer.models["trunk"].modules()]
    hook(trainer)
    assert [module.training for module in trainer.models["trunk"].modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in trainer.models["trunk"].state_dict().items())
    assert norm.num_batches_tracked == 0


def test_modes_are_given_back_after_a_failure():
    class Broken(list):
        def __getitem__(self, place):
            raise OSError("no such image")

    trainer = trainer_of(wrap(), None)
    trainer.epoch = 1
    trainer.models["trunk"].eval()
    with pytest.raises(OSError, match="no such image"):
        refresh_statistics(first_epoch=2, dataset=Broken([1, 2, 3]))(trainer)
    assert not trainer.models["trunk"].training


def test_another_data_set_may_be_read():
    wrapper = wrap()
    other = [(torch.rand(3, 6, 6), torch.tensor(label)) for label in (0, 0, 2)]
    trainer_of(wrapper, refresh_statistics(first_epoch=2, dataset=other)).train(num_epochs=1)
    assert wrapper.statistics.count.tolist() == [2, 0, 1]


def test_labels_are_mapped_as_in_training():
    wrapper = wrap()
    dataset = [(torch.rand(3, 6, 6), torch.tensor(label)) for label in [10, 20, 30] * 4]
    hook = refresh_statistics(first_epoch=2)
    options = {"set_min_label_to_zero": True, "dataset_labels": [10, 20, 30]}
    trainer = trainer_of(wrapper, hook, **options)
    trainer.dataset = dataset
    trainer.train(num_epochs=1)
    assert wrapper.statistics.count.tolist() == [4, 4, 4]


@pytest.mark.parametrize(
    "nest",
    [
        lambda wrapper: CrossBatchMemory(wrapper, SIZE, memory_size=12),
        lambda wrapper: losses.MultipleLosses({"iaa": wrapper, "plain": losses.ContrastiveLoss()}),
    ],
    ids=["memory", "multiple losses"],
)
def test_a_wrapper_inside_another_loss_is_found(nest):
    wrapper = IntraClassAdaptiveAugmentation(losses.ContrastiveLoss(), NUM_CLASSES, SIZE, neighbor_correction=False)
    trainer_of(nest(wrapper), refresh_statistics(first_epoch=2, every=1)).train(num_epochs=2)
    assert wrapper.statistics.count.sum() == 2 * IMAGES


def test_an_expansion_inside_the_wrapper_trains_too():
    wrapper = IntraClassAdaptiveAugmentation(EmbeddingExpansion(losses.TripletMarginLoss()), NUM_CLASSES, SIZE)
    trainer_of(wrapper, refresh_statistics(first_epoch=2, every=1)).train(num_epochs=2)
    assert wrapper.statistics.count.sum() == 2 * IMAGES


# ---- from training


@pytest.mark.parametrize(("every", "expected"), [(1, [2, 3, 4, 5]), (2, [2, 4])])
def test_from_training_no_image_is_read_again(every, expected):
    wrapper, renewed = wrap(), []

    def note(trainer):
        if int(wrapper.statistics.count.sum()) > IMAGES * len(renewed):
            renewed.append(trainer.epoch)

    trainer = trainer_of(wrapper, refresh_statistics(first_epoch=3, every=every, from_training=True, then=note))
    trainer.train(num_epochs=5)
    assert renewed == expected
    assert not evaluations(trainer)


def test_from_training_takes_what_the_wrapper_was_given_in_the_epoch():
    wrapper, given = wrap(), []
    trainer = trainer_of(wrapper, refresh_statistics(first_epoch=3, from_training=True))
    wrapper.register_forward_pre_hook(lambda _, args: given.append((trainer.epoch, args[0].detach().clone(), args[1])))
    trainer.train(num_epochs=2)
    embeddings, labels = (torch.cat([step[part] for step in given if step[0] == 2]) for part in (1, 2))
    expected = ClassStatistics(NUM_CLASSES, SIZE)
    expected.update(embeddings, labels)
    torch.testing.assert_close(wrapper.variance, expected.variance)


def test_from_training_an_epoch_not_seen_from_its_beginning_refreshes_nothing():
    wrapper = wrap()
    hook = refresh_statistics(first_epoch=3, every=1, from_training=True)
    trainer = trainer_of(wrapper, hook)
    trainer.train(start_epoch=7, num_epochs=7)
    assert wrapper.statistics.is_empty
    trainer.train(start_epoch=8, num_epochs=8)
    assert not wrapper.statistics.is_empty


def test_a_watched_wrapper_can_be_copied_and_pickled():
    wrapper = wrap()
    trainer_of(wrapper, refresh_statistics(first_epoch=3, every=1, from_training=True)).train(num_epochs=1)
    assert wrapper._forward_pre_hooks
    rows, labels = torch.randn(6, SIZE), torch.arange(6) % NUM_CLASSES
    for other in (copy.deepcopy(wrapper), pickle.loads(pickle.dumps(wrapper))):
        assert torch.equal(other(rows, labels), wrapper(rows, labels))


# ---- the strength, and other hooks


def test_strength_follows_the_schedule_and_survives_a_resumption():
    wrapper, found = wrap(strength=0.5), []
    hook = refresh_statistics(first_epoch=2, num_epochs=10, then=lambda trainer: found.append(wrapper.strength))
    trainer_of(wrapper, hook).train(num_epochs=6)
    torch.testing.assert_close(found, [strength_at(epoch, 10, 0.5) for epoch in range(2, 8)])

    resumed = wrap(strength=0.5)
    resumed.load_state_dict(wrapper.state_dict())
    assert resumed.strength == wrapper.strength < 0.5
    hook = refresh_statistics(first_epoch=2, num_epochs=10)
    trainer_of(resumed, hook).train(start_epoch=7, num_epochs=8)
    assert resumed.strength == strength_at(9, 10, 0.5)  # of the whole strength, not of what was left of it


def test_without_a_number_of_epochs_the_strength_stays():
    wrapper = wrap(strength=0.5)
    trainer_of(wrapper, refresh_statistics(first_epoch=2)).train(num_epochs=4)
    assert wrapper.strength == 0.5


def test_the_answer_of_the_hook_inside_stops_the_training():
    epochs = []

    def stop(trainer):
        epochs.append((trainer.epoch, wrapper.statistics.is_empty))
        return trainer.epoch < 2

    wrapper = wrap()
    trainer_of(wrapper, refresh_statistics(first_epoch=2, then=stop)).train(num_epochs=5)
    assert epochs == [(1, False), (2, False)]  # refreshed before it is called


@pytest.mark.parametrize("name", ["iaalambda_00"])
def test_strengths_are_the_recorded_ones(golden, name):
    file = golden(name)
    found = [[strength_at(int(epoch), 100, float(whole)) for epoch in file.epoch] for whole in file.lamda]
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), file.lamda_epoch, rtol=1e-12, atol=0)


def test_without_a_schedule_every_epoch_has_the_whole_strength():
    assert {strength_at(epoch, None, 0.7) for epoch in (1, 50, 1000)} == {0.7}


# ---- refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"first_epoch": 1}, "first_epoch must be at least 2 with from_training=False.*but got 1"),
        (
            {"first_epoch": 2, "from_training": True},
            "first_epoch must be at least 3 with from_training=True.*but got 2",
        ),
        ({"every": 0}, "every must be at least 1, but got 0"),
        ({"from_training": True, "batch_size": 8}, "leave out dataset, batch_size and num_workers"),
    ],
)
def test_bad_settings_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        refresh_statistics(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 10, 1.0), "epoch must be at least 1, the first, but got 0"),
        ((1, 0, 1.0), "num_epochs must be at least 1 or None, but got 0"),
    ],
)
def test_bad_epochs_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        strength_at(*arguments)


def test_a_trainer_without_the_wrapper_is_refused():
    trainer = trainer_of(losses.ContrastiveLoss(), refresh_statistics(first_epoch=2))
    with pytest.raises(ValueError, match="found no IntraClassAdaptiveAugmentation.*'metric_loss': 'ContrastiveLoss'"):
        trainer.train(num_epochs=1)
