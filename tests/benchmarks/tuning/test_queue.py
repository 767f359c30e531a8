import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState

from benchmarks.config.lists import Comparison
from benchmarks.errors import UserError
from benchmarks.tuning import heartbeat as liveness
from benchmarks.tuning import ledger
from benchmarks.tuning.heartbeat import Working, worker_name, works
from benchmarks.tuning.queue import DEATHS, Attempt, Queue
from benchmarks.tuning.study import Cell, StudyConfig

LOSS = {"loss.criterion.margin": FloatDistribution(0, 1)}
METHOD = {"method.wrapper.num_points": IntDistribution(1, 8)}
BASELINE = Cell("triplet", "none", 5, LOSS, {}, {"loss.criterion.margin": 0.2})
WITH = Cell("triplet", "ee", 5, LOSS, METHOD, {"loss.criterion.margin": 0.2, "method.wrapper.num_points": 2})


def made_study(folder: Path, **changed: object) -> StudyConfig:
    study = StudyConfig(
        **{
            "name": "made",
            "data": "glyphs",
            "overrides": [],
            "comparisons": [Comparison("triplet", ["none", "ee"])],
            "folds": [0],
            "seed": 7,
            "trials": 5,
            "runs": str(folder),
            **changed,
        }
    )
    study.folder.mkdir(parents=True, exist_ok=True)
    return study


def complete(queue: Queue, attempt: Attempt, score: float) -> None:
    """End a trial as a worker does."""
    fold: ledger.Fold = {"fold": 0, "score": score, "images": 100, "seconds": 1.0, "run": "0" * 12}
    name = queue.study.name, queue.cell.name
    queue.end(ledger.entry(*name, attempt.trial, [fold], "complete", worker=worker_name()))
    attempt.working.close()


def die(attempt: Attempt) -> None:
    """What the system does when a process dies: its locks are free, its files stay."""
    attempt.working.closed.set()
    attempt.working.thread.join()
    attempt.working.lock.release()


def claimed(queue: Queue) -> Attempt:
    attempt = queue.claim()
    assert attempt is not None
    return attempt


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a server that lives as long as the tests."""
    pytest.importorskip("psycopg2")
    if shutil.which("initdb") is None or shutil.which("postgres") is None:
        pytest.skip("PostgreSQL is not installed")
    user = "nobody" if os.getuid() == 0 else None  # the server does not run as root
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        if user is not None:
            shutil.chown(folder, user)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        made = ["initdb", "-D", f"{folder}/data", "-A", "trust", "-U", "tuner"]
        subprocess.run(made, check=True, capture_output=True, user=user, cwd=folder)
        words = ["postgres", "-D", f"{folder}/data", "-p", str(port), "-k", folder, "-h", "127.0.0.1"]
        quiet = subprocess.DEVNULL
        server = subprocess.Popen(words, stdout=quiet, stderr=quiet, user=user, cwd=folder)
        try:
            while not _answers(port):
                assert server.poll() is None
                time.sleep(0.1)
            yield f"postgresql+psycopg2://tuner@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # without waiting for open connections
            server.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(params=["journal", "sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    if request.param == "postgresql":
        return request.getfixturevalue("postgresql")
    return None if request.param == "journal" else f"sqlite:///{tmp_path}/trials.db"


def test_every_storage_hands_out_each_trial_once_and_a_methods_last_one_after_the_others(
    storage: str | None, tmp_path: Path
) -> None:
    study = made_study(tmp_path, storage=storage)
    first, second = Queue(study, WITH), Queue(study, WITH)  # two processes
    first.fill()
    second.fill()
    attempts = [claimed(queue) for queue in (first, second, second, first)]
    assert [attempt.number for attempt in attempts] == [0, 1, 2, 3]
    assert first.claim() is None and second.count(TrialState.RUNNING) == 4
    for queue, attempt, score in zip((first, second, first, second), attempts, (0.5, 0.2, 0.4, 0.3), strict=True):
        complete(queue, attempt, score)
    last = claimed(first)
    assert (last.number, last.trial.user_attrs["augmentation_off"]) == (4, True)
    assert last.trial.params == {"loss.criterion.margin": attempts[2].trial.params["loss.criterion.margin"]}
    complete(first, last, 0.6)
    first.fill()
    assert first.claim() is None and first.count(TrialState.COMPLETE) == 5


def test_a_trial_whose_process_died_is_recorded_and_tried_again_with_its_parameters(tmp_path: Path) -> None:
    queue = Queue(made_study(tmp_path), BASELINE)
    queue.fill()
    lost, alive = claimed(queue), claimed(queue)
    die(lost)
    queue.fill()
    (line,) = ledger.read(queue.ledger)
    assert (line["trial"], line["outcome"], line["score"], line["images"]) == (lost.number, "failed", None, 0)
    assert line["error"] == f"the process {worker_name()} died" and line["params"] == lost.trial.params

    rest = [claimed(queue) for _ in range(4)]
    assert [attempt.number for attempt in rest] == [2, 3, 4, 0]
    assert rest[-1].trial.params == lost.trial.params
    assert queue.claim() is None  # nobody takes what the living one works at
    complete(queue, alive, 0.1)


def test_a_trial_that_ends_every_process_counts_as_failed_at_last(tmp_path: Path) -> None:
    queue = Queue(made_study(tmp_path), BASELINE)
    for _ in range(DEATHS + 1):
        queue.fill()
        attempt = claimed(queue)
        while attempt.number != 0:
            complete(queue, attempt, 0.1)
            attempt = claimed(queue)
        die(attempt)
    queue.fill()
    assert queue.claim() is None
    assert queue.count(TrialState.FAIL) == 1 and queue.count(TrialState.COMPLETE) == 4
    assert sum(line["outcome"] == "failed" for line in ledger.read(queue.ledger)) == DEATHS + 1


def test_a_process_that_is_told_to_stop_gives_its_trial_back_as_often_as_that_happens(tmp_path: Path) -> None:
    queue = Queue(made_study(tmp_path), BASELINE)
    queue.fill()
    waiting = queue.count(TrialState.WAITING)
    for _ in range(DEATHS + 2):
        attempt = claimed(queue)
        queue.give_back(attempt)
        attempt.working.close()
        assert queue.count(TrialState.WAITING) == waiting
    assert {line["error"] for line in ledger.read(queue.ledger)} == {f"the process {worker_name()} was told to stop"}


def test_a_process_that_died_after_writing_the_ledger_has_ended_its_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(made_study(tmp_path), BASELINE)
    queue.fill()
    attempt = claimed(queue)

    def interrupted(line: ledger.Line) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(queue, "_tell", interrupted)
        complete(queue, attempt, 0.3)
    die(attempt)
    queue.fill()
    assert len(ledger.read(queue.ledger)) == 1
    assert queue.latest()[attempt.number].value == 0.3
    assert attempt.number not in [claimed(queue).number for _ in range(4)]


def test_tpe_takes_up_what_has_ended_and_the_declared_trials_come_first(tmp_path: Path) -> None:
    def searched(folder: Path, score: float) -> list[float]:
        queue = Queue(
            made_study(folder, sampler="tpe", trials=16), Cell("triplet", "none", 16, LOSS, {}, BASELINE.declared)
        )
        queue.fill()
        tried = []
        for _ in range(16):
            attempt = claimed(queue)
            tried.append(attempt.trial.params["loss.criterion.margin"])
            complete(queue, attempt, 1 - abs(tried[-1] - score))
        assert queue.claim() is None
        return tried

    low, again, high = searched(tmp_path / "a", 0.1), searched(tmp_path / "b", 0.1), searched(tmp_path / "c", 0.9)
    assert low == again and low[0] == 0.2
    assert sum(low[10:]) < sum(high[10:])


def test_a_database_that_cannot_be_reached_is_refused_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(UserError) as refusal:
        Queue(made_study(tmp_path, storage="postgresql+nosuch://tuner:secret@127.0.0.1:1/none"), BASELINE)
    assert "127.0.0.1:1/none cannot be used" in str(refusal.value) and "secret" not in str(refusal.value)


def test_a_worker_of_another_machine_counts_as_dead_when_it_touches_nothing_for_long(tmp_path: Path) -> None:
    mark = tmp_path / "running" / "mark"
    working = Working(mark)
    assert works(mark, worker_name()) and works(mark, "elsewhere:1")
    working.lock.release()  # as seen through a file system without locks between machines
    assert works(mark, "elsewhere:1") and not works(mark, worker_name())
    past = time.time() - liveness.STALE_AFTER - 1
    os.utime(mark, (past, past))
    assert not works(mark, "elsewhere:1")
    working.close()
    assert not works(mark, worker_name()) and not mark.exists()
