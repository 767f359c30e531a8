"""The schedule of the strength, alone and in a training."""

import pytest
import torch
from refresh_cases import trainer_of, wrap

from pml_aug.hooks import refresh_statistics, strength_at


@pytest.mark.parametrize("name", ["iaalambda_00"])
def test_strengths_are_the_recorded_ones(golden, name):
    file = golden(name)
    found = [[strength_at(int(epoch), 100, float(whole)) for epoch in file.epoch] for whole in file.lamda]
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), file.lamda_epoch, rtol=1e-12, atol=0)


def test_without_a_schedule_every_epoch_has_the_whole_strength():
    assert {strength_at(epoch, None, 0.7) for epoch in (1, 50, 1000)} == {0.7}


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 10, 1.0), "epoch must be at least 1, but got 0; epochs count from 1"),
        ((1, 0, 1.0), "num_epochs must be at least 1, but got 0; None keeps"),
        ((1.5, 10, 1.0), "epoch must be an integer, but got 1.5"),
        ((1, 10, float("inf")), "strength must be at least 0 and finite, but got inf"),
        ((1, None, float("nan")), "strength must be at least 0, but got nan"),
    ],
)
def test_bad_epochs_are_refused_by_name(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        strength_at(*arguments)
