"""Records of trainings with MLflow, on a server or in a local database."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext

from filelock import FileLock
from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from .logger import Described, Logger

EXPERIMENT = "pml_aug"  # unless MLFLOW_EXPERIMENT_NAME names another
TAG = "pml_aug.run"  # has the name of the run directory
LONGEST = 500  # characters of a parameter, in every store
AT_ONCE = 100  # parameters that a server takes in one request

logging.getLogger("mlflow").setLevel(logging.WARNING)  # else it reports each table that it makes
logging.getLogger("alembic").setLevel(logging.WARNING)


class Mlflow(Logger):
    """A run of MLflow that is tagged with the name of the run directory.

    MLFLOW_TRACKING_URI says where, MLFLOW_EXPERIMENT_NAME in which experiment. Without the former, it is the database
    `mlflow.db` beside the run directory. A training that is resumed continues its run.

    Args:
        training: to be recorded.
        tell: called with the address of the local database.
    """

    def __init__(self, training: Described, tell: Callable[[str], None]) -> None:
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        lock: FileLock | nullcontext[None] = nullcontext()
        if uri is None:
            database = training.folder.parent / "mlflow.db"
            uri = f"sqlite:///{database}"
            lock = FileLock(f"{database}.lock")  # several trainings may begin at once, and one makes the tables
            tell(f"mlflow: records in {database}; mlflow ui --backend-store-uri {uri}")
        with lock:
            self.client = MlflowClient(uri)
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
            experiment = self.client.get_experiment_by_name(name)
            where = self.client.create_experiment(name) if experiment is None else experiment.experiment_id
            earlier = self.client.search_runs([where], f"tags.`{TAG}` = '{training.run}'", max_results=1)
            tags = {TAG: training.run, "pml_aug.folder": str(training.folder)}
            found = earlier[0] if earlier else self.client.create_run(where, tags=tags, run_name=training.name)
        self.run_id = found.info.run_id
        if earlier:
            self.client.update_run(self.run_id, status="RUNNING")
            return
        params = [Param(key, str(value)[:LONGEST]) for key, value in training.hyperparameters.items()]
        for start in range(0, len(params), AT_ONCE):
            self.client.log_batch(self.run_id, params=params[start : start + AT_ONCE])

    def scores(self, epoch: int, scores: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        self.client.log_batch(self.run_id, [Metric(name, value, now, epoch) for name, value in scores.items()])

    def finish(self, summary: Mapping[str, float]) -> None:
        self.scores(0, summary)
        self.client.set_terminated(self.run_id)

    def fail(self) -> None:
        self.client.set_terminated(self.run_id, status="FAILED")
