"""Statistics refreshed from what the wrapper was given in training, without reading an image again."""

import copy
import pickle

import pytest
import torch
from refresh_cases import IMAGES, NUM_CLASSES, SIZE, evaluations, trainer_of, wrap

from pml_aug.hooks import refresh_statistics
from pml_aug.statistics import ClassStatistics


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


def test_calls_that_failed_are_not_counted():
    wrapper = wrap()
    hook = refresh_statistics(first_epoch=3, every=1, from_training=True)
    trainer = trainer_of(wrapper, hook)
    trainer.train(num_epochs=1)
    with pytest.raises(ValueError, match="labels must be in 0 .. 2"):
        wrapper(torch.randn(6, SIZE), torch.full((6,), NUM_CLASSES))
    trainer.train(start_epoch=2, num_epochs=2)
    assert wrapper.statistics.count.sum() == IMAGES


def test_a_failed_training_leaves_no_recorder_behind_in_the_next():
    wrapper = wrap()
    for _ in range(3):  # each ends while the embeddings of an epoch are collected
        trainer_of(wrapper, refresh_statistics(first_epoch=3, every=1, from_training=True)).train(num_epochs=1)
    assert len(wrapper._forward_hooks) == 1


def test_a_recorded_wrapper_can_be_copied_and_pickled():
    wrapper = wrap()
    trainer_of(wrapper, refresh_statistics(first_epoch=3, every=1, from_training=True)).train(num_epochs=1)
    assert wrapper._forward_hooks
    rows, labels = torch.randn(6, SIZE), torch.arange(6) % NUM_CLASSES
    for other in (copy.deepcopy(wrapper), pickle.loads(pickle.dumps(wrapper))):
        assert torch.equal(other(rows, labels), wrapper(rows, labels))
