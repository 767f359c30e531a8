from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution, IntDistribution

from benchmarks.config.lists import Comparison
from benchmarks.tuning.cells import Cell
from benchmarks.tuning.plan import last_trial, plan, quasi_random
from benchmarks.tuning.study import StudyConfig

STUDY = StudyConfig(
    name="made",
    data="glyphs",
    overrides=[],
    comparisons=[Comparison("triplet", ["none", "ee"])],
    folds=[0, 1],
    seed=7,
    trials=9,
    runs="nowhere",
)
LOSS = {"loss.criterion.margin": FloatDistribution(0, 1)}
METHOD = {"method.wrapper.num_points": IntDistribution(1, 8)}
BASELINE = Cell("triplet", "none", 9, LOSS, {}, {"loss.criterion.margin": 0.2})
WITH = Cell("triplet", "ee", 9, LOSS, METHOD, {"loss.criterion.margin": 0.2, "method.wrapper.num_points": 2})


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(trials=st.integers(4, 40), extra=st.integers(0, 40), sampler=st.sampled_from(["quasi_random", "tpe"]))
def test_every_search_has_its_number_of_trials_and_a_method_two_without_augmentation(
    trials: int, extra: int, sampler: str
) -> None:
    study = replace(STUDY, trials=trials, extra_trials=extra, sampler=sampler)
    baseline, method = (plan(study, replace(cell, trials=trials)) for cell in (BASELINE, WITH))
    plus = plan(study, replace(BASELINE, method="none+", trials=study.plus_trials))
    method.append(last_trial(WITH, []))
    assert len(baseline) == len(method) == trials and len(plus) == trials + extra
    assert [trial.augmentation_off for trial in method] == [True, *[False] * (trials - 2), True]
    assert not any(trial.augmentation_off for trial in baseline)


def test_the_first_trials_are_the_declared_values_off_then_on() -> None:
    assert plan(STUDY, BASELINE)[0].params == {"loss.criterion.margin": 0.2}
    off, on = plan(STUDY, WITH)[:2]
    assert (off.params, off.augmentation_off) == ({"loss.criterion.margin": 0.2}, True)
    assert (on.params, on.augmentation_off) == (WITH.declared, False)


def test_trials_depend_on_the_studys_seed_and_their_number_alone() -> None:
    assert plan(STUDY, WITH) == plan(STUDY, WITH)
    assert plan(replace(STUDY, seed=8), WITH)[2:] != plan(STUDY, WITH)[2:]
    longer = plan(replace(STUDY, trials=20), replace(WITH, trials=20))
    assert longer[:8] == plan(STUDY, WITH)


def test_more_trials_of_the_baseline_loss_begin_with_its_own() -> None:
    plus = plan(STUDY, replace(BASELINE, method="none+", trials=18))
    assert plus[:9] == plan(STUDY, BASELINE) and len({str(trial.params) for trial in plus}) == 18


def test_quasi_random_trials_fill_their_ranges_evenly() -> None:
    space = {**LOSS, "loss.proxy_lr": FloatDistribution(1e-6, 1, log=True), **METHOD}
    example = {"loss.criterion.margin": 0.5, "loss.proxy_lr": 0.1, "method.wrapper.num_points": 3}
    points = quasi_random(space, example, count=64, seed=1)
    for quarter in range(4):  # of the margins, and of the six decades
        assert sum(quarter / 4 <= point["loss.criterion.margin"] < (quarter + 1) / 4 for point in points) == 16
        low = 10 ** (-6 + 1.5 * quarter)
        assert sum(low <= point["loss.proxy_lr"] < low * 10**1.5 for point in points) == 16
    assert {point["method.wrapper.num_points"] for point in points} == set(range(1, 9))


def line(trial: int, score: float, off: bool, **params: float) -> dict:
    kept = {"cell": "triplet/ee", "outcome": "complete", "augmentation_off": off, "folds": []}
    return {**kept, "trial": trial, "score": score, "params": {f"loss.criterion.{key}": params[key] for key in params}}


def test_the_last_trial_takes_the_loss_of_the_best_one_that_had_the_augmentation_on() -> None:
    lines = [line(0, 0.9, True, margin=0.2), line(1, 0.5, False, margin=0.3), line(2, 0.7, False, margin=0.4)]
    lines += [{**line(3, 0.8, False, margin=0.6), "cell": "triplet/none"}]
    assert last_trial(WITH, lines).params == {"loss.criterion.margin": 0.4}
    assert last_trial(WITH, lines[:1]).params == {"loss.criterion.margin": 0.2}  # none has a score: declared values
