"""PML's records of a training: CSV, SQLite and TensorBoard."""

from collections.abc import Mapping
from typing import Any

from pytorch_metric_learning.utils import logging_presets
from record_keeper import RecordWriter
from record_keeper.db_utils import DBManager
from torch import Tensor

from ..runs.writer import RunDir
from .hyperparameters import Scalar


class UnsyncedDatabase(DBManager):
    """A database that does not wait for the disk after each of record-keeper's statements.

    Checkpoints hold the records, so nothing is lost that a restarted training does not write again; waiting took as
    long as a tenth of a training on features.
    """

    def open(self) -> None:
        super().open()
        self.conn.execute("PRAGMA synchronous=OFF")


class ScalarRecords(RecordWriter):
    """Records of single numbers and words.

    PML's hook passes every buffer of a loss in every epoch, such as a memory or the statistics of all classes.
    RecordWriter would keep them as lists of numbers in memory and in checkpoints, but never write them to a file.
    """

    def append(self, group_name: str, series_name: str, input_val: Any, iteration: int) -> None:
        if not isinstance(input_val, Tensor) or input_val.numel() == 1:
            super().append(group_name, series_name, input_val, iteration)


def open_records(folder: RunDir, name: str) -> tuple[Any, Any]:
    """record-keeper and TensorBoard's writer, which write to a run directory.

    Args:
        folder: run directory.
        name: of the run in TensorBoard, which shows the names of the directories that hold events.
    """
    record_keeper, _, tensorboard = logging_presets.get_record_keeper(
        str(folder.records), str(folder.tensorboard / name)
    )
    writer = ScalarRecords(str(folder.records))
    writer.local_db = UnsyncedDatabase(writer.local_db.db_path)
    record_keeper.record_writer = writer
    return record_keeper, tensorboard


def write_hyperparameters(tensorboard: Any, chosen: Mapping[str, Scalar], scores: Mapping[str, float]) -> None:
    """Give the run of a writer a row in TensorBoard's table of hyperparameters.

    ``SummaryWriter.add_hparams`` would make a second run of it, beside the one that has the curves.

    Args:
        tensorboard: SummaryWriter.
        chosen: hyperparameters.
        scores: columns of the table, and scalars of the run.
    """
    from torch.utils.tensorboard.summary import hparams  # loads TensorBoard, which takes time

    for summary in hparams(dict(chosen), dict(scores)):
        tensorboard.file_writer.add_summary(summary)
    for name, score in scores.items():
        tensorboard.add_scalar(name, score)
