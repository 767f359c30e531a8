import pytest

from benchmarks.config.compose import compose
from benchmarks.profiling import step_counts
from benchmarks.profiling.step_counts import StepCounts, count_step
from benchmarks.training.train import read_data

SMALL = ["data.num_classes=96", "data.image_size=16", "protocol=smoke"]


def of_step(loss: str, method: str) -> StepCounts:
    config, _ = compose([*SMALL, f"loss={loss}", f"method={method}"])
    return count_step(config, *read_data(config))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["none", "ps"])
def test_the_loop_makes_nobody_wait(method: str) -> None:
    assert of_step("normalized_softmax", method).waits == 0  # a loss that looks for no pairs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "method", "added"),
    [
        ("triplet", "ee", 1),  # the labels come to the host, which has to know how many pairs there are
        ("multi_similarity", "iaa", -2),  # it takes the place of PML's search for pairs
        ("multi_similarity", "das_originals", -1),  # the same, and the differences have to be counted
        ("multi_similarity", "symm", 1),
        ("multi_similarity", "metrix", 5),  # two further calls of a loss and its reducer
        ("normalized_softmax", "memvir", 0),
        ("proxy_anchor", "see", 3),  # a further call of the loss, which waits as often as the first
        ("proxy_anchor", "ps", 0),
        ("proxy_anchor", "idml_no_mixup", 0),
    ],
)
def test_methods_add_hardly_a_wait_to_their_losses(loss: str, method: str, added: int) -> None:
    baseline, augmented = of_step(loss, "none"), of_step(loss, method)
    assert augmented.waits == baseline.waits + added


@pytest.mark.slow
def test_mixup_waits_as_often_as_three_losses() -> None:
    baseline = of_step("proxy_anchor", "none").waits
    assert (
        baseline > 0 and of_step("proxy_anchor", "mixup").waits == of_step("proxy_anchor", "idml").waits == 3 * baseline
    )


@pytest.mark.slow
def test_one_step_asks_the_same_however_many_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    by_two = of_step("normalized_softmax", "none")
    monkeypatch.setattr(step_counts, "MORE", 4)
    assert of_step("normalized_softmax", "none") == by_two
