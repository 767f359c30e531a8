import re

import numpy as np
import pytest

from benchmarks.errors import UserError
from benchmarks.runs.reader import PRIMARY, read_run, read_runs


def test_a_finished_run_is_read_as_it_was_written(canned):
    folder = canned.write("triplet", "ee", fold=1, seed=3, map_at_r=0.5, seconds=0.02, embedding_size=128)
    run = read_run(folder)
    assert (run.data, run.loss, run.method, run.pair) == ("glyphs", "triplet", "ee", (3, 1))
    assert run.selection["validation"].test[PRIMARY] == 0.5
    assert not run.selection["validation"].oracle and run.selection["test"].oracle
    assert run.facts["embedding size"] == 128
    assert sorted(run.curve) == list(range(6))
    assert run.cost.peak_memory_bytes == 600 * 2**20


def test_what_is_no_run_folder_is_ignored(canned):
    canned.write()
    (canned.root / "report").mkdir()
    (canned.root / "report" / "report.html").write_text("old")
    (canned.root / "suite.log").write_text("...")
    assert len(read_runs(canned.root)) == 1


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no run folder"):
        read_runs(tmp_path)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="nowhere is not a folder"):
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
    with pytest.raises(UserError, match=f"{re.escape(str(folder))} is damaged: {re.escape(name)} is missing"):
        read_run(folder)


def test_a_result_that_done_does_not_vouch_for_is_damage(canned):
    folder = canned.write()
    (folder / "result.json").write_text((folder / "result.json").read_text() + " ")
    with pytest.raises(UserError, match="result.json is not the file whose sha256 is in done"):
        read_run(folder)


@pytest.mark.parametrize("done", ["", "0" * 64])
def test_an_empty_or_foreign_done_mark_is_damage(canned, done):
    folder = canned.write()
    (folder / "done").write_text(done)
    with pytest.raises(UserError, match="is damaged"):
        read_run(folder)


@pytest.mark.parametrize(
    ("name", "content"), [("environment.json", "{"), ("environment.json", "\xff"), ("config.yaml", "a: [")]
)
def test_an_unreadable_file_is_damage(canned, name, content):
    folder = canned.write()
    (folder / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=f"{re.escape(str(folder))} is damaged: {re.escape(name)} cannot be read"):
        read_run(folder)


def test_a_file_that_holds_no_mapping_is_damage(canned):
    folder = canned.write()
    (folder / "environment.json").write_text("[1]")
    with pytest.raises(UserError, match="environment.json holds a list, not a mapping"):
        read_run(folder)


def test_another_schema_is_refused(canned):
    with pytest.raises(UserError, match="schema 4, but this report reads schemas 1 and 2 and 3"):
        read_run(canned.write(schema=4))


@pytest.mark.parametrize("key", ["seed", "trunk", "images_seen", "selection", "history", "cost"])
def test_a_missing_value_is_named(canned, key):
    folder = canned.write()
    canned.edit(folder, lambda result: result.pop(key))
    with pytest.raises(UserError, match=f"is damaged: result.json has no {key}"):
        read_run(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": "0"}, "seed = '0'"),
        ({"fold": True}, "fold = True"),
        ({"selection__last__test": {PRIMARY: 0.5, "r_precision": 0.6}}, "no selection.last.test.precision_at_1"),
        ({"selection__validation__test__r_precision": 58.0}, "selection.validation.test.r_precision = 58.0"),
        ({"selection__test__test__r_precision": np.nan}, "selection.test.test.r_precision = nan"),
        ({"cost__seconds_per_step": 0}, "cost.seconds_per_step = 0"),
        ({"cost__peak_memory_bytes": -1}, "cost.peak_memory_bytes = -1"),
        ({"history": [{"epoch": 0, "val": {}}]}, f"history entry 0, has no val.{PRIMARY}"),
        ({"history": []}, "history = []"),
    ],
)
def test_an_impossible_value_is_named(canned, changes, message):
    with pytest.raises(UserError, match=re.escape(message)):
        read_run(canned.write(**changes))


@pytest.mark.parametrize("missing", [None, 0])
def test_memory_that_was_not_measured_is_none(canned, missing):
    assert read_run(canned.write(cost__peak_memory_bytes=missing)).cost.peak_memory_bytes is None
