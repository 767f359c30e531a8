import sqlite3
from pathlib import Path

import torch
from pytorch_metric_learning import losses
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
from tensorboard.plugins.hparams import metadata

from benchmarks.runs.writer import RunDir
from benchmarks.training.records import open_records, write_hyperparameters
from pml_aug import wrappers

NAME = "glyphs-triplet-ee-fold0-seed0"


def test_what_is_saved_is_in_the_database_and_the_csv(tmp_path: Path) -> None:
    folder = RunDir(tmp_path, {"seed": 0})
    folder.prepare()
    keeper, tensorboard = open_records(folder, NAME)
    for epoch in (1, 2):
        keeper.update_records({"total_loss": epoch / 2}, epoch, parent_name="loss_histories")
        keeper.save_records()
    tensorboard.close()
    with sqlite3.connect(folder.records / "logs.db") as database:
        assert database.execute("SELECT total_loss FROM loss_histories").fetchall() == [(0.5,), (1.0,)]
    assert "0.5" in (folder.records / "loss_histories.csv").read_text()


def test_no_buffer_of_a_loss_is_kept(tmp_path: Path) -> None:
    folder = RunDir(tmp_path, {"seed": 0})
    folder.prepare()
    keeper, tensorboard = open_records(folder, NAME)
    loss = wrappers.DenselyAnchoredSampling(losses.ContrastiveLoss(), num_classes=4, embedding_size=8)
    keeper.update_records({"metric_loss": loss}, 1, recursive_types=[torch.nn.Module, dict])  # as PML's hook does
    tensorboard.close()
    records = keeper.record_writer.records
    assert records["metric_loss_DenselyAnchoredSampling"]["num_copies"] == {1: 3}
    assert not any("buffers" in group for group in records)


def test_no_statement_waits_for_the_disk(tmp_path: Path) -> None:
    folder = RunDir(tmp_path, {"seed": 0})
    folder.prepare()
    keeper, tensorboard = open_records(folder, NAME)
    tensorboard.close()
    assert keeper.query("PRAGMA synchronous")[0][0] == 0


def test_tensorboard_shows_one_run_by_its_readable_name_with_hyperparameters_and_scores(tmp_path: Path) -> None:
    folder = RunDir(tmp_path, {"seed": 0})
    folder.prepare()
    keeper, tensorboard = open_records(folder, NAME)
    keeper.update_records({"total_loss": 0.5}, 1, parent_name="loss_histories")
    write_hyperparameters(tensorboard, {"loss": "triplet", "loss.criterion.margin": 0.2}, {"chosen/epoch": 3.0})
    tensorboard.close()
    events = EventMultiplexer().AddRunsFromDirectory(str(tmp_path))
    events.Reload()
    (run,) = events.Runs()
    assert run == f"{folder.name}/tensorboard/{NAME}"
    (score,) = events.Scalars(run, "chosen/epoch")
    assert score.value == 3.0
    start = events.SummaryMetadata(run, metadata.SESSION_START_INFO_TAG).plugin_data
    found = metadata.parse_session_start_info_plugin_data(start.content).hparams
    assert found["loss"].string_value == "triplet" and found["loss.criterion.margin"].number_value == 0.2
