import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import TINY

from benchmarks.config.compose import compose
from benchmarks.errors import UserError
from benchmarks.jobs.runner import TrainingJob
from benchmarks.runs.schema import METRICS
from benchmarks.training.train import read_data, train
from benchmarks.tuning.fold_ensemble import Embedded, score, write_concatenated

SETTINGS = [
    *TINY,
    "protocol.iterations_per_epoch=3",
    "protocol.epochs=1",
    "protocol.keep_embeddings=true",
    "protocol.test_scoring=once",
]


def trained(runs: Path, folds: int = 2, *overrides: str) -> list[TrainingJob]:
    config, options = compose([*SETTINGS, f"runs={runs}", *overrides])
    tasks = [TrainingJob(replace(config, fold=fold), options) for fold in range(folds)]
    for task in tasks:
        train(task.config, task.options)
    return tasks


def test_two_folds_give_the_mean_of_their_scores_and_the_score_of_their_embeddings_side_by_side(tmp_path: Path) -> None:
    tasks = trained(tmp_path)
    (path,) = write_concatenated(reversed(tasks))
    content = json.loads(path.read_text())
    assert path.parent == tmp_path / "concatenated" and len(path.stem) == 12
    assert content["runs"] == [task.folder.name for task in tasks] and content["folds"] == [0, 1]
    assert content["embedding_size"] == 2 * 8 and content["tuned"] is None
    results = [json.loads(task.folder.result.read_text())["selection"]["validation"]["test"] for task in tasks]
    for metric in METRICS:
        assert content["separated"][metric] == pytest.approx(np.mean([result[metric] for result in results]))
    with np.load(path.with_suffix(".npz")) as queries:
        data, split = read_data(tasks[0].config)
        assert (queries["labels"] == data.labels[split.test]).all()
        for metric in ("precision_at_1", "r_precision", "mean_average_precision_at_r"):
            assert queries[metric].mean() == pytest.approx(content["concatenated"][metric])
    assert content["concatenated"] != content["separated"]

    written = path.stat().st_mtime_ns
    assert write_concatenated(tasks) == [path] and path.stat().st_mtime_ns == written  # not done twice


def test_one_fold_alone_has_no_concatenated_score(tmp_path: Path) -> None:
    assert write_concatenated(trained(tmp_path, folds=1)) == []


def test_embeddings_that_were_not_kept_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="embeddings.npy is missing: train with protocol.keep_embeddings=true"):
        write_concatenated(trained(tmp_path, 2, "protocol.keep_embeddings=false"))


def test_folds_that_were_scored_on_other_images_are_refused(tmp_path: Path) -> None:
    tasks = trained(tmp_path)
    queries = tasks[1].folder.path / "queries.npz"
    with np.load(queries) as file:
        arrays = dict(file)
    np.savez(queries, **{**arrays, "labels": arrays["labels"][::-1]})
    with pytest.raises(UserError, match="were not scored on the same test images"):
        write_concatenated(tasks)


def test_models_that_each_confuse_other_classes_tell_all_of_them_together() -> None:
    labels = torch.arange(4).repeat_interleave(2)
    bits = torch.stack([labels // 2, labels % 2]).float()  # each model sees one bit of the class
    one, other = (torch.stack([bit, 1 - bit], dim=1) for bit in bits)
    together = torch.nn.functional.normalize(torch.cat([one, other], dim=1), dim=1)
    cpu = torch.device("cpu")
    assert score(Embedded(together, labels, None), cpu)[0]["mean_average_precision_at_r"] == 1
    assert score(Embedded(one, labels, None), cpu)[0]["recall_at_4"] == 1
    assert score(Embedded(one, labels, None), cpu)[0]["mean_average_precision_at_r"] < 0.7


def test_a_gallery_is_searched_in_place_of_the_queries() -> None:
    eye = torch.eye(3)
    embedded = Embedded(eye, torch.arange(3), (eye[[0, 1, 1]], torch.tensor([0, 1, 2])))
    scores, of_queries = score(embedded, torch.device("cpu"))
    assert of_queries["precision_at_1"][:2].tolist() == [1, 1]
    assert scores["recall_at_1"] == pytest.approx(of_queries["precision_at_1"].mean())
