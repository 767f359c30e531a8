import numpy as np

from benchmarks.config.compose import compose
from benchmarks.data.split import Split
from benchmarks.jobs.estimate.cost import Amount, Cost, amount_of, kind_of, mean

SPLIT = Split(train=np.arange(100), val=np.arange(30), test=np.arange(50))


def amount(*overrides: str, split: Split = SPLIT) -> Amount:
    words = [
        "protocol.batch_size=8",
        "protocol.iterations_per_epoch=5",
        "protocol.epochs=7",
        "protocol.evaluate_every=3",
    ]
    return amount_of(compose([*words, *overrides])[0], split)


def test_an_amount_counts_what_a_training_does() -> None:
    # evaluated at epochs 0, 3, 6 and 7
    assert amount() == Amount(steps=35, epochs=7, images=280, scored=4 * 80)
    assert amount("protocol.test_scoring=once").scored == 4 * 30 + 50
    assert amount("protocol.test_scoring=never").scored == 4 * 30
    assert amount("protocol.iterations_per_epoch=null").steps == 7 * 12  # one pass over 100 images
    assert amount(split=SPLIT._replace(gallery=np.arange(20))).scored == 4 * 100


def test_seconds_are_steps_and_epochs_and_scores() -> None:
    cost = Cost(step=2.0, epoch=10.0, score=0.5, checkpoint=0, files=0)
    assert Amount(steps=35, epochs=7, images=280, scored=40).seconds(cost) == 70 + 70 + 20


def test_a_kind_is_what_decides_the_pace_and_not_the_length() -> None:
    def kind(*overrides: str) -> str:
        return kind_of(compose(list(overrides))[0].identity())

    assert (
        kind("seed=3", "fold=1", "protocol.epochs=99", "loss.criterion.alpha=1", "protocol.test_scoring=once") == kind()
    )
    for other in ("method=ee", "loss=triplet", "protocol.batch_size=16", "data.image_size=16", "trunk=medium_cnn"):
        assert kind(other) != kind()


def test_a_mean_takes_the_largest_of_what_fills_the_disk() -> None:
    costs = [Cost(1.0, 0.0, 2.0, 10, 300), Cost(3.0, 1.0, 4.0, 20, 200)]
    assert mean(costs) == Cost(2.0, 0.5, 3.0, 20, 300)
