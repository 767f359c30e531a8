"""Virtual classes that begin after some epochs."""

import pytest
from pytorch_metric_learning import losses
from refresh_cases import IMAGES, NUM_CLASSES, SIZE, trainer_of

from pml_aug.hooks import start_virtual_classes
from pml_aug.wrappers import MemoryBasedVirtualClasses

STEPS = IMAGES // 6  # of an epoch


def wrap():
    return MemoryBasedVirtualClasses(losses.ProxyNCALoss(NUM_CLASSES, SIZE), num_steps=1, step_gap=0, active=False)


def test_nothing_is_stored_before_the_first_epoch_with_virtual_classes():
    wrapper, after = wrap(), []
    trainer = trainer_of(
        wrapper, start_virtual_classes(3, then=lambda trainer: after.append(wrapper.memory.num_appended))
    )
    trainer.train(num_epochs=4)
    assert after == [0, 0, STEPS, 2 * STEPS]


def test_the_hook_after_it_can_end_the_training():
    trainer = trainer_of(wrap(), start_virtual_classes(2, then=lambda trainer: False))
    trainer.train(num_epochs=4)
    assert trainer.epoch == 1


def test_the_first_epoch_counts_from_1():
    with pytest.raises(ValueError, match="first_epoch must be at least 1, but got 0; epochs count from 1"):
        start_virtual_classes(0)


@pytest.mark.parametrize(("first_epoch", "fails"), [(1, False), (2, True)])
def test_a_wrapper_active_before_the_first_epoch_is_refused(first_epoch, fails):
    wrapper = wrap()
    wrapper.active = True
    trainer = trainer_of(wrapper, start_virtual_classes(first_epoch))
    if fails:
        with pytest.raises(ValueError, match="active in epoch 1, but first_epoch is 2: construct it with active=False"):
            trainer.train(num_epochs=1)
    else:
        trainer.train(num_epochs=2)
        assert wrapper.memory.num_appended == 2 * STEPS


def test_losses_without_the_wrapper_are_named():
    trainer = trainer_of(losses.ContrastiveLoss(), start_virtual_classes(2))
    with pytest.raises(ValueError, match="start_virtual_classes found no MemoryBasedVirtualClasses .*ContrastiveLoss"):
        trainer.train(num_epochs=1)
