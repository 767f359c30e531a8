import re
from dataclasses import replace

import pytest

from benchmarks.errors import UserError
from benchmarks.report.comparability import check_comparable
from benchmarks.runs.reader import read_runs
from benchmarks.runs.schema import CLASSIFICATION


def refusal(canned) -> str:
    with pytest.raises(UserError) as refused:
        check_comparable(read_runs(canned.root), {})
    return str(refused.value)


def test_a_whole_suite_is_comparable(canned):
    check_comparable(read_runs(canned.suite(["triplet", "proxy_anchor"], ["ee", "ps"], seeds=2, folds=2)), {})


def test_losses_may_have_different_numbers_of_seeds(canned):
    canned.suite(["triplet"], ["ee"], seeds=2)
    check_comparable(read_runs(canned.suite(["proxy_anchor"], ["ps"], seeds=3)), {})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"trunk": "resnet50"}, "differ in trunk"),
        ({"embedding_size": 128}, "differ in embedding size"),
        ({"data__image_size": 64}, "differ in image size"),
        ({"images_seen": 19200}, "differ in images seen"),
        ({"protocol": "standard"}, "differ in protocol"),
        ({"protocol_version": 2}, "differ in protocol"),
        ({"data__hash": "0" * 64}, "differ in data hash"),
    ],
)
@pytest.mark.parametrize("loss", ["triplet", "proxy_anchor"])
def test_runs_of_one_table_must_agree(canned, changes, sentence, loss):
    usual, other = canned.write("triplet", seed=0), canned.write(loss, seed=1, **changes)
    said = refusal(canned)
    assert f"the runs on glyphs {sentence}, so they cannot share a table" in said
    assert str(usual) in said and str(other) in said
    assert str(next(iter(changes.values()))) in said


def test_two_data_sets_may_differ(canned):
    canned.write("triplet")
    canned.write("triplet", data__name="emoji", data__hash="0" * 64, data__image_size=64, images_seen=1)
    check_comparable(read_runs(canned.root), {})


def test_retrieval_and_classification_share_no_report(canned):
    canned.write("triplet", seed=0)
    canned.write("triplet", seed=1)
    one, other = read_runs(canned.root)
    with pytest.raises(UserError, match="the runs differ in their task, so they cannot share a report"):
        check_comparable([one, replace(other, task=CLASSIFICATION)], {})


def test_a_method_without_its_baseline_loss_is_refused(canned):
    canned.write("triplet", "ee", seed=4, fold=1)
    assert refusal(canned) == (
        "triplet with method ee on glyphs has no baseline: run it with method=none and seed 4 fold 1"
    )


def test_missing_seeds_of_a_method_are_named(canned):
    for seed in range(3):
        canned.write("triplet", seed=seed)
    canned.write("triplet", "ee", seed=1)
    assert refusal(canned) == (
        "triplet with method ee on glyphs lacks seed 0 fold 0, seed 2 fold 0, which its baseline has"
    )


def test_missing_seeds_of_the_baseline_loss_are_named(canned):
    canned.suite(["triplet"], ["ee"], seeds=2)
    canned.write("triplet", "ee", seed=2)
    assert refusal(canned) == "the baseline triplet on glyphs lacks seed 2 fold 0, which method ee has"


def test_a_seed_that_lacks_a_fold_is_named(canned):
    for method in ("none", "ee"):
        for seed, fold in ((0, 0), (0, 1), (1, 0)):
            canned.write("triplet", method, fold, seed)
    assert refusal(canned) == "triplet on glyphs lacks seed 1 fold 1: every seed needs the same folds"


def test_the_same_training_twice_is_refused(canned):
    folders = [canned.write("triplet", environment_note=note) for note in ("first", "second")]
    said = refusal(canned)
    assert "triplet with method none on glyphs, seed 0, fold 0 exists more than once" in said
    assert all(str(folder) in said for folder in folders)


def test_trunks_of_one_name_must_be_one_trunk_for_all_losses(canned):
    narrow, wide = canned.write("triplet"), canned.write("contrastive")
    canned.edit_config(wide, "trunk", width=7)
    assert "the runs of glyphs differ in trunk.width" in refusal(canned)
    assert str(narrow) in refusal(canned)


@pytest.mark.parametrize("group", ["loss", "protocol"])
def test_method_and_baseline_loss_must_share_their_setup(canned, group):
    baseline, method = canned.write("triplet"), canned.write("triplet", "ee")
    method = canned.edit_config(method, group, width=7)
    assert refusal(canned) == (
        f"the runs of triplet on glyphs differ in {group}.width, so they cannot be averaged or paired: "
        + "; ".join(sorted([f"7 in {method}", f"not set in {baseline}"], key=lambda part: part[-12:]))
    )


def test_two_settings_of_one_method_are_refused_even_on_other_seeds(canned):
    canned.suite(["triplet"], ["ee"], seeds=1)
    canned.write("triplet", seed=1)
    canned.edit_config(canned.write("triplet", "ee", seed=1), "method", num_points=4)
    assert re.search(r"triplet with method ee on glyphs differ in method.num_points, .*\b4 in", refusal(canned))


def test_the_place_of_the_data_may_differ(canned):
    canned.write("triplet", seed=0)
    canned.edit_config(canned.write("triplet", seed=1), "data", path="elsewhere.npz")
    check_comparable(read_runs(canned.root), {})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"audit__identical": 3}, "3 test images are identical to images on the training side"),
        ({"audit__shared_classes": 1}, "1 classes are on both sides of the test split"),
        ({"audit__near_identical": 30}, "30 of 610 test images are near-identical"),
    ],
)
def test_leaks_between_the_sides_of_a_split_are_refused(canned, changes, sentence):
    folder = canned.once("triplet", "none")
    key, value = next(iter(changes.items()))
    canned.edit(folder, lambda result: result["audit"].update({key.split("__")[1]: value}))
    assert f"glyphs: {sentence}" in refusal(canned) and str(folder) in refusal(canned)


def test_twins_that_were_declared_pass(canned):
    folder = canned.once("triplet", "none")
    canned.edit(folder, lambda result: result["audit"].update(near_identical=30, twins_allowed=0.05))
    check_comparable(read_runs(canned.root), {})


def test_folds_may_differ_in_images_seen_but_not_the_runs_of_one_fold(canned):
    for fold in range(2):
        canned.write("triplet", fold=fold, images_seen=9600 + 32 * fold)
    check_comparable(read_runs(canned.root), {})
    canned.write("triplet", seed=1, images_seen=9632)
    assert "differ in images seen" in refusal(canned)


def test_runs_that_patience_ended_early_are_held_to_what_they_were_allowed(canned):
    early = [canned.write("triplet", seed=seed, images_seen=seen) for seed, seen in enumerate((3200, 9600))]
    for folder in early:
        canned.edit_config(folder, "protocol", patience=3, epochs=12, iterations_per_epoch=50)
    check_comparable(read_runs(canned.root), {})
    assert {run.facts["images seen"] for run in read_runs(canned.root)} == {"at most 19,200"}
