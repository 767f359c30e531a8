import os
import re

import numpy as np
import pytest

from benchmarks.errors import UserError
from benchmarks.runs.reader import read_run, read_runs
from benchmarks.runs.schema import PRIMARY, SCHEMA


def test_a_finished_run_is_read_as_it_was_written(canned):
    folder = canned.write("triplet", "ee", fold=1, seed=3, map_at_r=0.5, seconds=0.02, embedding_size=128)
    run = read_run(folder)
    assert (run.data, run.loss, run.method, run.pair) == ("glyphs", "triplet", "ee", (3, 1))
    assert run.selection["validation"].test[PRIMARY] == 0.5
    assert not run.selection["validation"].oracle and run.selection["test"].oracle
    assert run.facts["embedding size"] == 128
    assert sorted(run.curve) == list(range(6))
    assert run.cost.peak_memory_bytes == 600 * 2**20


def test_other_files_beside_the_runs_are_ignored(canned):
    canned.write()
    (canned.root / "report").mkdir()
    (canned.root / "report" / "report.html").write_text("old")
    (canned.root / "suite.log").write_text("...")
    assert len(read_runs(canned.root)) == 1


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no run directory"):
        read_runs(tmp_path)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="nowhere is not a directory"):
        read_runs(tmp_path / "nowhere")


def test_every_unfinished_run_is_named(canned):
    folders = [canned.write(seed=seed) for seed in range(3)]
    for folder in folders[:2]:
        (folder / "done").unlink()
    with pytest.raises(UserError) as refusal:
        read_runs(canned.root)
    assert [f"{folder} is unfinished" in str(refusal.value) for folder in folders] == [True, True, False]


def test_a_run_that_only_began_is_unfinished(canned):
    folder = canned.write()
    for name in ("done", "result.json", "gallery.npz"):
        (folder / name).unlink()
    with pytest.raises(UserError, match="is unfinished: it has no done mark"):
        read_runs(canned.root)


@pytest.mark.parametrize("name", ["config.yaml", "environment.json", "result.json", "queries.npz", "gallery.npz"])
def test_a_missing_file_is_damage(canned, name):
    folder = canned.write()
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"damaged: {re.escape(str(folder / name))}: missing"):
        read_run(folder)


FILES = ["config.yaml", "environment.json", "result.json", "queries.npz", "gallery.npz"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_changed_after_the_run_ended_is_damage(canned, name):
    folder = canned.write()
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    with pytest.raises(UserError, match=f"damaged: {re.escape(str(folder / name))}: changed since the run ended"):
        read_run(folder)


@pytest.mark.parametrize("done", [b"", b"0" * 64, b"\xff\xfe", b"0" * 64 + b"  ../elsewhere\n"])
def test_a_done_mark_that_is_none_is_damage(canned, done):
    folder = canned.write()
    (folder / "done").write_bytes(done)
    with pytest.raises(UserError, match=f"damaged: {re.escape(str(folder / 'done'))}"):
        read_run(folder)


def test_a_finished_run_that_lost_its_files_is_named(canned):
    canned.write(seed=1)
    folder = canned.write(seed=0)
    for name in ("config.yaml", "result.json"):
        (folder / name).unlink()
    with pytest.raises(UserError, match=f"damaged: {re.escape(str(folder))}"):
        read_runs(canned.root)


def test_a_directory_under_another_name_than_its_configs_hash_is_damage(canned):
    folder = canned.write()
    moved = folder.rename(folder.with_name("0" * 12))
    with pytest.raises(UserError, match=f"{moved}: its config.yaml is that of run {folder.name}"):
        read_run(moved)


def test_the_result_of_another_run_is_damage(canned):
    ours, theirs = canned.write(seed=0), canned.write(seed=1)
    (ours / "result.json").write_bytes((theirs / "result.json").read_bytes())
    canned.reseal(ours)
    with pytest.raises(UserError, match=f"the result of run {theirs.name}, not of {ours.name}"):
        read_run(ours)


def test_a_pipe_in_the_place_of_a_file_is_not_opened(canned):
    folder = canned.write()
    (folder / "result.json").unlink()
    os.mkfifo(folder / "result.json")
    with pytest.raises(UserError, match="no regular file"):
        read_run(folder)


def test_how_often_a_method_acted_is_read(canned):
    activity = {"steps": 300, "active_steps": 0, "synthetic_per_step": 0.0}
    run = read_run(canned.write("triplet", "ee", method_activity=activity))
    assert run.inactive and run.activity.steps == 300
    assert not read_run(canned.write("triplet", "ee")).inactive
    assert read_run(canned.write("triplet")).activity is None


def test_a_run_whose_validation_chose_epoch_0_is_untrained(canned):
    assert read_run(canned.write(selection__validation__epoch=0)).untrained
    assert not read_run(canned.write()).untrained


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("environment.json", "{", "cannot be parsed"),
        ("environment.json", "\xff", "cannot be parsed"),
        ("environment.json", "[1]", "a mapping was expected, but it holds a list"),
        ("environment.json", "[" * 100_000, "cannot be parsed"),
        ("config.yaml", "a: [", "cannot be parsed"),
        ("config.yaml", "a: &a [*a]", "cannot be parsed"),
        ("config.yaml", "a: 2024-01-01", "a value of type date"),
        ("config.yaml", "1: a", "the key 1 is a int"),
        ("config.yaml", "a: " + "[" * 40 + "]" * 40, "cannot be parsed"),
    ],
)
def test_an_unreadable_file_is_damage_even_with_the_right_sha256(canned, name, content, what):
    folder = canned.write()
    (folder / name).write_bytes(content.encode("latin-1"))
    canned.reseal(folder)
    with pytest.raises(UserError, match=f"damaged: {re.escape(str(folder / name))}: .*{what}"):
        read_run(folder)


@pytest.mark.parametrize("schema", [SCHEMA - 1, SCHEMA + 1])
def test_another_schema_is_refused(canned, schema):
    with pytest.raises(UserError, match=f"schema {schema}, but this version reads schema {SCHEMA}"):
        read_run(canned.write(schema=schema))


@pytest.mark.parametrize("key", ["seed", "trunk", "images_seen", "selection", "history", "cost"])
def test_a_missing_value_is_named(canned, key):
    folder = canned.write()
    canned.edit(folder, lambda result: result.pop(key))
    with pytest.raises(UserError, match=f"result.json: no {key}"):
        read_run(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": "0"}, "seed = '0'"),
        ({"fold": True}, "fold = True"),
        ({"selection__last__test": {PRIMARY: 0.5, "r_precision": 0.6}}, "selection.last: test: no precision_at_1"),
        ({"selection__validation__test__r_precision": 58.0}, "selection.validation: test: r_precision = 58.0"),
        ({"selection__test__test__r_precision": np.nan}, "selection.test: test: r_precision = nan"),
        ({"cost__seconds_per_step": 0}, "cost.seconds_per_step = 0"),
        ({"cost__peak_memory_bytes": -1}, "cost.peak_memory_bytes = -1"),
        ({"history": [{"epoch": 0, "iterations": 0, "val": {}}]}, "history[0]: val: no precision_at_1"),
        ({"selection__last__test__ndcg": 0.5}, "selection.last: test: 'ndcg' is no metric"),
        ({"selection__last__test__ami": -2}, "selection.last: test: ami = -2"),
        ({"history": []}, "history = []"),
    ],
)
def test_an_impossible_value_is_named(canned, changes, message):
    with pytest.raises(UserError, match=re.escape(message)):
        read_run(canned.write(**changes))


def test_the_metrics_of_a_run_are_those_that_it_has_in_the_order_of_the_tables(canned):
    test = {"ami": -0.01, "recall_at_10": 0.9, "nmi": 0.8, "recall_at_1": 0.7, PRIMARY: 0.5, "r_precision": 0.6,
            "precision_at_1": 0.7}  # fmt: skip
    run = read_run(canned.write(selection__validation__test=test))
    assert list(run.selected().test.items()) == [(name, test[name]) for name in (
        "precision_at_1", "r_precision", PRIMARY, "recall_at_1", "recall_at_10", "nmi", "ami",
    )]  # fmt: skip


@pytest.mark.parametrize("missing", [None, 0])
def test_memory_that_was_not_measured_is_none(canned, missing):
    assert read_run(canned.write(cost__peak_memory_bytes=missing)).cost.peak_memory_bytes is None
