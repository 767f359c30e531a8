"""The hook that refreshes class statistics in the host library's trainers: when, from which images, which losses."""

import copy

import pytest
import torch
from pytorch_metric_learning import losses
from refresh_cases import IMAGES, NUM_CLASSES, SIZE, evaluations, trainer_of, wrap

from pml_aug.hooks import refresh_statistics
from pml_aug.statistics import ClassStatistics
from pml_aug.wrappers import CrossBatchMemory, EmbeddingExpansion, IntraClassAdaptiveAugmentation

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


def test_training_goes_from_the_baseline_loss_to_copies():
    wrapper = wrap()
    seen = []
    wrapper.register_forward_hook(lambda module, inputs, output: seen.append(module.statistics.is_empty))
    trainer_of(wrapper, refresh_statistics(first_epoch=3, every=1)).train(num_epochs=4)
    assert seen == [True] * 6 + [False] * 6


def test_the_answer_of_the_hook_inside_stops_the_training():
    epochs = []

    def stop(trainer):
        epochs.append((trainer.epoch, wrapper.statistics.is_empty))
        return trainer.epoch < 2

    wrapper = wrap()
    trainer_of(wrapper, refresh_statistics(first_epoch=2, then=stop)).train(num_epochs=5)
    assert epochs == [(1, False), (2, False)]  # refreshed before it is called


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


# ---- of which losses


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


# ---- refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"first_epoch": 1}, "first_epoch must be at least 2, but got 1; with from_training=False"),
        (
            {"first_epoch": 2, "from_training": True},
            "first_epoch must be at least 3, but got 2; with from_tr",
        ),
        ({"num_epochs": 0}, "num_epochs must be at least 1, but got 0"),
        ({"num_workers": -1}, "num_workers must be at least 0, but got -1"),
        ({"batch_size": 2.0}, "batch_size must be an integer, but got 2.0"),
        ({"from_training": "false"}, "from_training must be True or False, but got 'false'"),
        ({"every": 0}, "every must be at least 1, but got 0"),
        ({"from_training": True, "batch_size": 8}, "leave out dataset, batch_size and num_workers"),
    ],
)
def test_bad_settings_are_refused_by_name(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        refresh_statistics(**arguments)


def test_a_trainer_without_the_wrapper_is_refused():
    trainer = trainer_of(losses.ContrastiveLoss(), refresh_statistics(first_epoch=2))
    with pytest.raises(ValueError, match="found no IntraClassAdaptiveAugmentation.*'metric_loss': 'ContrastiveLoss'"):
        trainer.train(num_epochs=1)
