"""Scores on their way to W&B and MLflow, offline and in a local database, with the packages themselves."""

import sys
from pathlib import Path

import pytest
from tiny_runs import SETTINGS, numbers, run_tiny

from benchmarks.config.compose import compose
from benchmarks.errors import TrainingError, UserError
from benchmarks.runs.writer import RunDir
from benchmarks.training import training
from benchmarks.training.loggers import open_logger
from benchmarks.training.loggers.logger import Careful, Logger

ONE_EPOCH = ("loss=triplet", "method=ee", "protocol.epochs=1")
NAME = "triplet-ee-fold0-seed0"


@pytest.mark.slow
def test_mlflow_has_one_run_with_parameters_scores_and_the_folder_and_continues_it(tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    folder = run_tiny(tmp_path, *ONE_EPOCH, "logger=mlflow")
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("pml_aug").experiment_id])
    assert run.info.run_name.endswith(NAME) and run.info.status == "FINISHED"
    assert run.data.params["loss"] == "triplet" and run.data.params["method.wrapper"] == "EmbeddingExpansion"
    assert run.data.tags["pml_aug.run"] == folder.name
    history = client.get_metric_history(run.info.run_id, "val/mean_average_precision_at_r")
    assert [entry.step for entry in history] == [0, 1]
    assert run.data.metrics["chosen/epoch"] in (0, 1) and "chosen/test/precision_at_1" in run.data.metrics

    config, _ = compose([*SETTINGS, *ONE_EPOCH])
    open_logger("mlflow", config, RunDir(tmp_path, config.identity()), print).fail()
    (run,) = client.search_runs([run.info.experiment_id])
    assert run.info.status == "FAILED"


@pytest.mark.slow
def test_wandb_writes_offline_what_it_cannot_send(tmp_path, monkeypatch, capsys):
    pytest.importorskip("wandb", reason="the extra `wandb` is not installed")
    monkeypatch.setenv("HOME", str(tmp_path))  # nobody is logged in
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    folder = run_tiny(tmp_path / "runs", *ONE_EPOCH, "logger=wandb")
    assert "not logged in, so offline" in capsys.readouterr().err
    (written,) = folder.glob(f"wandb/offline-run-*-{folder.name}/run-{folder.name}.wandb")
    content = written.read_bytes()
    for expected in (NAME, "val/mean_average_precision_at_r", "chosen/test/precision_at_1", "EmbeddingExpansion"):
        assert expected.encode() in content, expected


class Noting(Logger):
    def __init__(self):
        self.notes = []

    def scores(self, epoch, scores):
        self.notes.append((epoch, scores))

    def finish(self, summary):
        self.notes.append(("finished", summary))

    def fail(self):
        self.notes.append("failed")


@pytest.mark.slow
def test_a_logger_gets_every_evaluation_then_the_chosen_epoch(tmp_path, monkeypatch):
    logger = Noting()
    monkeypatch.setattr(training, "open_logger", lambda *_: logger)
    folder = run_tiny(tmp_path, *ONE_EPOCH)
    history = numbers(folder)["history"]
    (first, first_scores), (second, second_scores), (end, summary) = logger.notes
    assert (first, second, end) == (0, 1, "finished")
    assert "loss" not in first_scores and second_scores["loss"] == history[1]["loss"]
    assert second_scores["val/precision_at_1"] == history[1]["val"]["precision_at_1"]
    chosen = numbers(folder)["selection"]["validation"]
    assert summary["chosen/epoch"] == chosen["epoch"]
    assert summary["chosen/test/r_precision"] == chosen["test"]["r_precision"]


def test_a_logger_is_told_of_a_failure(tmp_path, monkeypatch):
    def break_down(*_, **__):
        raise TrainingError("the loss is NaN")

    logger = Noting()
    monkeypatch.setattr(training, "open_logger", lambda *_: logger)
    monkeypatch.setattr(training.Training, "evaluate", break_down)
    with pytest.raises(TrainingError, match="the loss is NaN"):
        run_tiny(tmp_path, *ONE_EPOCH)
    assert logger.notes == ["failed"]


def test_the_logger_is_no_part_of_what_a_run_is():
    identities = [compose([f"logger={kind}"])[0].identity() for kind in ("none", "wandb", "mlflow")]
    assert identities[0] == identities[1] == identities[2]
    with pytest.raises(UserError, match="logger 'wandbb'.*wandb"):
        compose(["logger=wandbb"])


@pytest.mark.parametrize(
    ("kind", "module"), [("wandb", "weights_and_biases"), ("mlflow", "mlflow_client")], ids=["wandb", "mlflow"]
)
def test_a_missing_package_is_named_with_what_installs_it(kind, module, tmp_path, monkeypatch):
    config, _ = compose([])
    for name in [kind, *(name for name in sys.modules if name.startswith(f"{kind}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"benchmarks.training.loggers.{module}", raising=False)
    with pytest.raises(UserError, match=f"logger={kind} needs the package {kind}: pip install {kind}"):
        open_logger(kind, config, RunDir(tmp_path, config.identity()), print)


def test_a_logger_that_fails_is_told_once_and_ends_nothing():
    class Broken(Logger):
        def scores(self, epoch, scores):
            raise ConnectionError("no route to host")

    told: list[str] = []
    careful = Careful(Broken(), told.append)
    for epoch in range(3):
        careful.scores(epoch, {"val/precision_at_1": 0.5})
    careful.finish({})
    (line,) = told
    assert line.startswith("Broken: no route to host; its record is incomplete")


def test_names_can_be_directories(tmp_path: Path):
    from benchmarks.training.hyperparameters import readable_name

    config, _ = compose(["data=npz", "data.path=x.npz", "data.name=My photos"])
    name = readable_name(config)
    assert name == "My_photos-multi_similarity-none-fold0-seed0"
    (tmp_path / name).mkdir()
