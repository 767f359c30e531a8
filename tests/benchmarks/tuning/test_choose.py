"""How `choose` reads a request, divides the time, and takes the best few."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from benchmarks.config.lists import Comparison
from benchmarks.errors import UserError
from benchmarks.tuning.choose import budget
from benchmarks.tuning.choose.budget import Division, Paces, divide
from benchmarks.tuning.choose.decision import difference
from benchmarks.tuning.choose.finalists import Finals, equal_trials, finalists, plan_finals
from benchmarks.tuning.choose.fitting import fitting_batches, preparation
from benchmarks.tuning.choose.request import read_request
from benchmarks.tuning.choose.state import State
from benchmarks.tuning.ledger import Line
from benchmarks.tuning.study import read_study


def test_images_are_computed_by_one_command_and_heads_trained_by_another() -> None:
    given = ["data=folder", "data.path=photos", "data.name=mine", "trunk=small_cnn", "data.split_seed=3", "device=cpu"]
    request = read_request([*given, "protocol.embedding_size=64", "embedder=mlp", "minutes=2"])
    assert request.images is not None and request.own.minutes == 2
    assert {"data=folder", "data.path=photos", "trunk=small_cnn", "data.image_size=224"} <= set(request.images)
    assert {"data=features", "data.path=runs/choose/features", "data.name=mine"} <= set(request.training)
    assert {"data.split_seed=3", "device=cpu", "embedder=mlp"} <= set(request.training)
    assert not {"embedder=mlp", "protocol.embedding_size=64"} & set(request.images)
    assert "trunk=efficientnet_lite0" in (read_request(given[:3]).images or ())


def test_features_and_shipped_ones_are_taken_as_they_come() -> None:
    for data in (["data=glyphs_lite0"], ["data=features", "data.path=mine.npz"]):
        request = read_request([*data, "minutes=1"])
        assert request.images is None and request.training == tuple(data)


@pytest.mark.parametrize("override", ["loss=triplet", "method.wrapper.strength=2", "seed=3", "data.train_on=all"])
def test_what_choose_finds_out_itself_is_refused(override: str) -> None:
    with pytest.raises(UserError, match=f"{override} has no place here"):
        read_request(["data=glyphs_lite0", override])


class Steady:
    """In the place of measured paces: a second per epoch, and a trial of each search one after the other."""

    def __init__(self) -> None:
        self.study = read_study("choose", [])
        self.comparisons = self.study.comparisons
        from benchmarks.tuning.cells import list_cells

        self.cells = {cell.name: cell for cell in list_cells(self.study)}

    def a_trial_of_each(self, comparisons: list[Comparison], epochs: int) -> float:
        return float(epochs * sum(len(comparison.methods) for comparison in comparisons))


@pytest.fixture(scope="module")
def steady() -> Paces:
    return cast(Paces, Steady())


@pytest.mark.slow
def test_less_time_means_fewer_trials_then_shorter_trainings_then_fewer_losses(steady: Paces) -> None:
    def divided(minutes: float, **fixed: bool) -> Division:
        return divide(steady, 60 * minutes, **{"whole_shortlist": False, "fixed_epochs": False, **fixed})

    found = [divided(minutes) for minutes in (200, 30, 12, 8, 5)]
    assert [(len(one.comparisons), one.epochs, one.trials) for one in found] == [
        (4, 10, budget.MAX_TRIALS), (4, 10, 12), (4, 5, 9), (2, 5, 12), (2, 4, 9),
    ]  # fmt: skip
    assert all(one.seconds <= budget.SEARCHED * 60 * m for one, m in zip(found, (200, 30, 12, 8, 5), strict=True))
    assert divided(12, fixed_epochs=True).epochs == 10
    assert len(divided(12, whole_shortlist=True).comparisons) == 4
    with pytest.raises(UserError, match=r"the smallest search, 4 trials of 4 epochs .* give about [\d.]+ minutes more"):
        divided(1)


def line(cell: str, trial: int, score: float, off: bool = False) -> Line:
    folds = [{"fold": 0, "score": score, "epoch": 1, "seconds": 2.0}]
    return {
        "cell": cell,
        "trial": trial,
        "score": score,
        "augmentation_off": off,
        "outcome": "complete",
        "folds": folds,
    }


BEST = {
    "a/none": line("a/none", 0, 0.5),
    "a/ee": line("a/ee", 1, 0.6),
    "b/none": line("b/none", 0, 0.7),
    "b/ps": line("b/ps", 0, 0.9, off=True),
    "c/none": line("c/none", 0, 0.4),
}


def test_methods_come_with_their_baselines_and_not_where_their_best_is_without_them() -> None:
    assert finalists(BEST, 4) == ["b/none", "a/ee", "a/none", "c/none"]
    assert finalists(BEST, 3) == ["b/none", "a/ee", "a/none"]
    assert finalists(BEST, 2) == ["b/none", "a/none"]  # a/ee would need two places


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1000, (4, [1, 2, 3], 10)),
        (230, (4, [1, 2, 3], 6)),
        (170, (3, [1, 2, 3], 6)),
        (60, (3, [1], 6)),
        (20, (2, [1], 3)),
        (7, (1, [1], 2)),
    ],
)
def test_time_buys_seeds_then_folds_then_arms(seconds: float, expected: tuple[int, list[int], int]) -> None:
    study = read_study("choose", [])
    found = plan_finals(study, BEST, list(BEST.values()), 4, seconds, workers=1)
    assert (len(found.arms), found.folds, found.seeds) == expected
    assert found.trainings * found.seconds <= seconds


def test_of_a_search_that_was_cut_off_equally_many_trials_count() -> None:
    class OfFive:
        def __init__(self, name: str) -> None:
            self.name, self.trials = name, 5

    lines = [line("a/none", number, 0.1) for number in (0, 1, 2, 4)] + [line("a/ee", number, 0.2) for number in (1, 0)]
    common, kept = equal_trials(cast(Any, [OfFive("a/none"), OfFive("a/ee")]), lines)
    assert common == 2 and {(one["cell"], one["trial"]) for one in kept} == {
        ("a/none", 0), ("a/none", 1), ("a/ee", 0), ("a/ee", 1),
    }  # fmt: skip


def test_a_gain_is_one_whose_whole_interval_is_above_zero() -> None:
    assert difference(np.array([3.0, 3.1, 2.9]), np.array([1.0])).is_gain
    assert not difference(np.array([3.0, -1.0, 2.0]), np.array([1.0])).is_gain
    assert not difference(np.array([3.0]), np.array([1.0])).is_gain  # one seed has no interval
    assert not difference(np.array([1.0]), np.array([1.0])).is_gain


def test_what_was_decided_is_read_again(tmp_path: Path) -> None:
    request = read_request(["data=glyphs_lite0", f"runs={tmp_path}"])
    state = State(request)
    state.fitting = ["data.standardize=false"]
    state.search = Division([Comparison("triplet", ["none", "ee"])], 5, 8, 12.5)
    state.trials, state.finals = 7, Finals(["triplet/none"], [1, 2], 6, 1.5)
    state.save()
    again = State(request)
    assert again.fitting == state.fitting
    assert (again.search, again.trials, again.finals) == (state.search, state.trials, state.finals)
    with pytest.raises(UserError, match="holds the choice for other data or settings"):
        State(read_request(["data=glyphs_lite0", f"runs={tmp_path}", "embedder=mlp"]))


def test_few_classes_make_batches_of_four_images_a_class(tmp_path: Path) -> None:
    random, labels = np.random.default_rng(0), np.repeat(np.arange(24), 4)
    np.savez(tmp_path / "rows.npz", features=random.normal(size=(96, 3)).astype(np.float32), labels=labels)
    data = ["data=features", f"data.path={tmp_path / 'rows.npz'}"]
    assert fitting_batches(read_request(data)) == ["loss.images_per_class=4", "protocol.batch_size=36"]
    assert fitting_batches(read_request([*data, "protocol.batch_size=8"])) == []
    assert fitting_batches(read_request(["data=glyphs_lite0"])) == []


def test_features_are_standardised_where_validation_prefers_it(tmp_path: Path) -> None:
    random, labels = np.random.default_rng(0), np.repeat(np.arange(24), 4)
    rows = random.normal(size=(24, 3))[labels] + 0.1 * random.normal(size=(96, 3))
    for scale, better in ((1e3, []), (1e-3, ["data.standardize=false"])):
        loud = np.concatenate([rows, scale * random.normal(size=(96, 3))], axis=1)
        path = tmp_path / f"{scale}.npz"
        np.savez(path, features=loud.astype(np.float32), labels=labels)
        given = ["data=features", f"data.path={path}", "device=cpu", f"runs={tmp_path / 'runs'}"]
        assert preparation(read_request(given), fold=0) == better
        assert preparation(read_request([*given, "data.standardize=true"]), fold=0) == []
