"""Runs as data frames: one row each, scores in points."""

import pytest

from benchmarks.errors import UserError
from benchmarks.runs.frames import read_histories, read_results

pytest.importorskip("pandas")


def test_one_row_per_run_has_what_it_was_and_its_scores_in_points(canned):
    for seed, score in enumerate((0.5, 0.25)):
        canned.write("triplet", "ee", seed=seed, map_at_r=score, embedding_size=128)
    frame = read_results(str(canned.root)).sort_values("seed")
    assert frame["test_mean_average_precision_at_r"].tolist() == [50.0, 25.0]
    assert frame[["task", "loss", "method"]].drop_duplicates().values.tolist() == [["retrieval", "triplet", "ee"]]
    assert set(frame["embedding_size"]) == {128} and frame["run"].is_unique
    assert (frame["rule"] == "validation").all()
    assert {"val_precision_at_1", "epoch", "images_per_second", "device", "commit", "path"} <= set(frame)


def test_a_history_has_one_row_per_evaluation(canned):
    canned.write(seed=3)
    frame = read_histories(canned.root)
    assert frame["epoch"].tolist() == list(range(6)) and set(frame["seed"]) == {3}
    chosen = read_results(canned.root).iloc[0]
    at_chosen = frame.set_index("epoch")["val_mean_average_precision_at_r"][chosen["epoch"]]
    assert at_chosen == chosen["val_mean_average_precision_at_r"]


def test_unfinished_runs_are_refused_or_skipped(canned):
    folders = [canned.write(seed=seed) for seed in range(2)]
    (folders[0] / "done").unlink()
    with pytest.raises(UserError, match="is unfinished"):
        read_results(canned.root)
    assert read_results(canned.root, unfinished="skip")["run"].tolist() == [folders[1].name]
    (folders[1] / "done").unlink()
    with pytest.raises(UserError, match="holds no finished run yet"):
        read_results(canned.root, unfinished="skip")
    with pytest.raises(ValueError, match="unfinished must be 'refuse' or 'skip', but got 'ignore'"):
        read_results(canned.root, unfinished="ignore")
