import json
import re

import pytest

from benchmarks.errors import UserError
from benchmarks.report.comparability import check_comparable
from benchmarks.report.study import read_studies
from benchmarks.report.tuned_runs import by_search
from benchmarks.report.verdicts import verdict, withheld
from benchmarks.report.write import read_summary
from benchmarks.runs.reader import read_run, read_runs


def finals(canned, study, methods=("none", "ee", "none+"), seeds=2):
    for method in methods:
        for seed in range(seeds):
            canned.tuned(study, method, seed=seed)


def labelled(canned):
    return by_search(read_runs(canned.root), read_studies(canned.root))


def checked(canned):
    check_comparable(labelled(canned), read_studies(canned.root))


def refusal(canned) -> str:
    with pytest.raises(UserError) as refused:
        checked(canned)
    return str(refused.value)


def change_best(study, cell, **changes):
    best = json.loads((study / "best.json").read_text())
    best[cell].update(changes)
    (study / "best.json").write_text(json.dumps(best))


def test_tuned_runs_with_other_values_of_what_was_searched_are_comparable(canned):
    finals(canned, canned.study())
    checked(canned)
    assert sorted(run.method for run in labelled(canned)) == ["ee", "ee", "none", "none", "none+", "none+"]


def test_untuned_runs_keep_their_method(canned):
    canned.suite(["triplet"], ["ee"], seeds=1)
    assert sorted(run.method for run in labelled(canned)) == ["ee", "none"]


def test_what_was_not_searched_must_still_agree(canned):
    study = canned.study()
    finals(canned, study, seeds=1)
    canned.edit_config(next(run.path for run in labelled(canned) if run.method == "ee"), "protocol", batch_size=7)
    assert "differ in protocol.batch_size" in refusal(canned)


def test_two_settings_of_one_search_are_refused(canned):
    study = canned.study()
    finals(canned, study)
    folder = next(run.path for run in labelled(canned) if run.method == "none" and run.seed == 1)
    canned.edit_config(folder, "loss", margin=0.123)
    with pytest.raises(UserError, match="no search of triplet there has that trial as its best with these parameters"):
        labelled(canned)


@pytest.mark.parametrize("what", ["trials", "images"])
def test_unequal_budgets_are_refused_with_both_numbers(canned, what):
    study = canned.study()
    described = json.loads((study / "study.json").read_text())
    described["cells"]["triplet/ee"][f"budget_{what}"] -= 1
    (study / "study.json").write_text(json.dumps(described))
    finals(canned, study)
    given, baseline = (5, 6) if what == "trials" else (57_599, 57_600)
    assert f"study small gave triplet/ee {given:,} {what} and triplet/none {baseline:,} {what}" in refusal(
        canned
    ).replace(f"{baseline:,}:", f"{baseline:,} {what}:")


def test_a_study_that_is_not_finished_is_refused(canned):
    study = canned.study()
    finals(canned, study)
    lines = (study / "ledger.jsonl").read_text().splitlines(keepends=True)
    (study / "ledger.jsonl").write_text("".join(line for line in lines if '"triplet/ee", "trial": 5' not in line))
    assert "study small has done 5 of the 6 trials of triplet/ee: finish it" in refusal(canned)


def test_tuned_and_untuned_runs_of_one_loss_are_refused(canned):
    study = canned.study()
    finals(canned, study, methods=("none",), seeds=1)
    canned.once("triplet", "ee")
    said = refusal(canned)
    assert re.search("the runs of triplet on glyphs differ in their tuning: .*tuned by study small in", said)
    assert "not tuned in" in said


def test_a_study_that_is_not_there_is_missed_by_name(canned):
    study = canned.study()
    finals(canned, study, seeds=1)
    study.rename(study.with_name("elsewhere"))
    described = json.loads((study.with_name("elsewhere") / "study.json").read_text())
    (study.with_name("elsewhere") / "study.json").write_text(json.dumps({**described, "study": "elsewhere"}))
    with pytest.raises(UserError, match="was tuned by study small, which is not among the studies"):
        labelled(canned)


def test_a_method_that_is_best_switched_off_is_represented_by_baseline_runs(canned):
    study = canned.study()
    baseline = json.loads((study / "best.json").read_text())["triplet/none"]
    change_best(study, "triplet/ee", augmentation_off=True, params={"loss.margin": baseline["params"]["loss.margin"]})
    finals(canned, study, methods=("none",), seeds=1)
    checked(canned)
    assert sorted(run.method for run in labelled(canned)) == ["ee", "none"]  # one training, two searches


def test_a_method_that_is_best_switched_off_gets_no_verdict(canned):
    study = canned.study()
    found = json.loads((study / "best.json").read_text())
    other = {"loss.margin": found["triplet/ee"]["params"]["loss.margin"]}
    change_best(study, "triplet/ee", augmentation_off=True, params=other)
    finals(canned, study, methods=("none",), seeds=6)
    for seed in range(6):
        canned.tuned(study, "ee", seed=seed, map_at_r=0.6 + seed / 1000)
    (comparison,) = read_summary(canned.root).comparisons
    assert min(comparison.primary.per_seed) > 1 and comparison.holm_p == 1
    assert verdict(comparison) == "no verdict"
    assert withheld(comparison) == (
        "No verdict: the best trial of the search of EE has the augmentation off, so these are trainings of the "
        "loss alone with parameters that this search found."
    )


def test_a_trial_that_was_scored_on_the_test_set_is_refused(canned):
    study = canned.study()
    trial = type(canned)(study / "trials").write("triplet")
    with pytest.raises(UserError, match=f"{trial.name} belongs to study small and was scored on the test set"):
        read_studies(canned.root)


def test_trials_that_never_saw_the_test_set_pass(canned):
    study = canned.study()
    trials = type(canned)(study / "trials")
    folder = trials.once("triplet", "none")
    trials.edit(folder, lambda result: result["selection"]["validation"].update(test=None))
    assert list(read_studies(canned.root)) == ["small"]
    assert read_run(folder).selection == {}


def test_a_run_without_test_scores_is_left_out_and_needs_no_queries(canned):
    canned.suite(["triplet"], ["ee"], seeds=2)
    folder = canned.once("triplet", "none", seed=7)
    canned.edit(folder, lambda result: result["selection"]["validation"].update(test=None))
    for name in ("queries.npz", "gallery.npz"):
        (folder / name).unlink()
    canned.reseal(folder)
    found = [run.name for run in read_summary(canned.root).runs]
    assert folder.name not in found and len(found) == 4


def test_runs_none_of_which_has_a_test_score_give_no_report(canned):
    folder = canned.once("triplet", "none")
    canned.edit(folder, lambda result: result["selection"]["validation"].update(test=None))
    with pytest.raises(UserError, match="no run in .* was scored on the test set"):
        read_summary(canned.root)
