"""PML's records of a training: CSV, SQLite and TensorBoard."""

from typing import Any

from pytorch_metric_learning.utils import logging_presets
from record_keeper.db_utils import DBManager

from ..runs.writer import RunDir


class UnsyncedDatabase(DBManager):
    """A database that does not wait for the disk after each of record-keeper's statements.

    Checkpoints hold the records, so nothing is lost that a restarted training does not write again; waiting took as
    long as a tenth of a training on features.
    """

    def open(self) -> None:
        super().open()
        self.conn.execute("PRAGMA synchronous=OFF")


def open_records(folder: RunDir) -> tuple[Any, Any]:
    """record-keeper and TensorBoard's writer, which write to a run directory."""
    record_keeper, _, tensorboard = logging_presets.get_record_keeper(str(folder.records), str(folder.tensorboard))
    written = record_keeper.record_writer
    written.local_db = UnsyncedDatabase(written.local_db.db_path)
    return record_keeper, tensorboard
