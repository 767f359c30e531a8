import pytest

from benchmarks.report.recommendations import recommendations
from benchmarks.report.study import read_studies
from benchmarks.report.summary import summarize
from benchmarks.report.tuned_runs import by_search
from benchmarks.runs.reader import read_runs


def advice(canned) -> str:
    studies = read_studies(canned.root)
    return "\n".join(recommendations(summarize(by_search(read_runs(canned.root), studies), studies=studies.values())))


def pairs(canned, gains, **more):
    for seed, gain in enumerate(gains):
        canned.write("triplet", seed=seed, map_at_r=0.5, **more)
        canned.write("triplet", "ee", seed=seed, map_at_r=0.5 + gain / 100, **more)


def test_too_few_seeds_are_told_how_many_it_takes(canned):
    pairs(canned, [1, 2])
    assert "More seeds: 6 instead of 2 are the fewest with which anything can be established here." in advice(canned)


def test_an_open_difference_is_told_how_many_seeds_see_the_margin(canned):
    pairs(canned, [0.8, -0.8, 0.6, -0.6, 1.0, -1.0])  # standard deviation .89: by the noncentral t
    assert "a true difference of 0.5 points takes 28." in advice(canned)


def test_an_established_difference_needs_no_more_seeds(canned):
    pairs(canned, [1, 2, 3, 1, 2, 3])
    assert "More seeds" not in advice(canned)


def test_untuned_losses_one_fold_and_one_data_set_are_named(canned):
    pairs(canned, [1, 2])
    said = advice(canned)
    assert "Equal tuning: Triplet on glyphs ran with the values in the configs" in said
    assert "The other folds" in said and "Other data sets" in said
    assert "A leakage audit of all runs" in said


def test_tuned_runs_on_two_folds_with_an_audit_are_asked_for_neither(canned):
    study = canned.study()
    for method in ("none", "ee", "none+"):
        for fold in range(2):
            canned.tuned(study, method, fold)
    said = advice(canned)
    assert "Equal tuning" not in said and "The other folds" not in said and "audit" not in said
    assert "A wider search for Triplet EE: its optimum is at the edge of method.strength." in said


def test_curves_that_still_rise_ask_for_longer_training(canned):
    pairs(canned, [1, 2])
    assert "Longer training" not in advice(canned)
    for run in read_runs(canned.root):
        canned.edit(run.path, lambda result: result["selection"]["validation"].update(epoch=5))
    assert "Longer training: in 4 of 4 runs validation chose the last epoch" in advice(canned)


def test_wide_intervals_over_classes_ask_for_more_of_them(canned):
    pairs(canned, [1, 1.01, 1, 1.01])
    assert "More test classes: in 1 of 1 comparisons" in advice(canned)


@pytest.mark.parametrize(("times", "said"), [(1, False), (7, True)])
def test_a_test_set_that_was_scored_often_is_pointed_at(canned, times, said):
    pairs(canned, [1, 2], test_scorings=times)
    assert ("scored up to 7 times" in advice(canned)) == said


def test_baseline_losses_alone_are_told_to_run_a_method(canned):
    canned.write("triplet")
    assert advice(canned) == "Run a method beside the baselines."
