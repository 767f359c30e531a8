import sqlite3
from pathlib import Path

from benchmarks.runs.writer import RunDir
from benchmarks.training.records import open_records


def test_what_is_saved_is_in_the_database_and_the_csv(tmp_path: Path) -> None:
    folder = RunDir(tmp_path, {"seed": 0})
    folder.prepare()
    keeper, tensorboard = open_records(folder)
    for epoch in (1, 2):
        keeper.update_records({"total_loss": epoch / 2}, epoch, parent_name="loss_histories")
        keeper.save_records()
    tensorboard.close()
    with sqlite3.connect(folder.records / "logs.db") as database:
        assert database.execute("SELECT total_loss FROM loss_histories").fetchall() == [(0.5,), (1.0,)]
    assert "0.5" in (folder.records / "loss_histories.csv").read_text()


def test_no_statement_waits_for_the_disk(tmp_path: Path) -> None:
    folder = RunDir(tmp_path, {"seed": 0})
    folder.prepare()
    keeper, tensorboard = open_records(folder)
    tensorboard.close()
    assert keeper.query("PRAGMA synchronous")[0][0] == 0
