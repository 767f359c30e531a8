from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from filelock import FileLock
from killed_trials import killed_in_trial_one
from optuna.distributions import FloatDistribution, IntDistribution

from benchmarks.config.lists import Comparison
from benchmarks.errors import UserError
from benchmarks.jobs.executors import Outcome
from benchmarks.jobs.runner import TrainingJob
from benchmarks.tuning import ledger
from benchmarks.tuning.cells import Cell
from benchmarks.tuning.plan import copy_to_storage
from benchmarks.tuning.search import MAX_RESTARTS, list_trials, run_trials
from benchmarks.tuning.study import StudyConfig
from benchmarks.tuning.trial import run_trial

LOSS = {"loss.criterion.margin": FloatDistribution(0, 1)}
METHOD = {"method.wrapper.num_points": IntDistribution(1, 8)}
BASELINE = Cell("triplet", "none", 5, LOSS, {}, {"loss.criterion.margin": 0.2})
WITH = Cell("triplet", "ee", 5, LOSS, METHOD, {"loss.criterion.margin": 0.2, "method.wrapper.num_points": 2})

Trained = Callable[[TrainingJob, int], ledger.Fold]


def made_study(folder: Path, **changed: object) -> StudyConfig:
    values = {
        "name": "made",
        "data": "glyphs",
        "overrides": ["quiet=true"],
        "comparisons": [Comparison("triplet", ["none", "ee"])],
        "folds": [0],
        "seed": 7,
        "trials": 5,
        "runs": str(folder),
    }
    study = StudyConfig(**{**values, **changed})  # type: ignore[arg-type]
    study.folder.mkdir(parents=True, exist_ok=True)
    return study


def scored(task: TrainingJob, fold: int) -> ledger.Fold:
    """In place of a training: the score is highest at a margin of 0.6 and with 8 points."""
    assert task.config.loss.criterion is not None
    score = 0.5 - 0.1 * abs(task.config.loss.criterion["margin"] - 0.6)
    if task.config.method.wrapper is not None:
        score += 0.01 * task.config.method.wrapper["num_points"]
    return {
        "fold": fold,
        "score": score,
        "epoch": 3,
        "active_steps": 9,
        "images": 100,
        "seconds": 1.0,
        "run": task.folder.name,
    }


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run trials in this process, with scores in place of trainings."""

    def here(executor: str, function: Callable[[Any], object], tasks: Sequence[Any], *_: object) -> Iterator[Outcome]:
        for number, task in enumerate(tasks):
            function(task)
            yield Outcome(number, None)

    monkeypatch.setattr("benchmarks.tuning.search.run_all", here)
    monkeypatch.setattr("benchmarks.tuning.trial.trained", scored)


def numbers(study: StudyConfig, cell: Cell) -> list[int]:
    return [line["trial"] for line in ledger.read(study.ledger) if line["cell"] == cell.name]


@pytest.mark.usefixtures("in_process")
def test_every_trial_has_one_line_and_a_methods_last_trial_comes_after_its_others(tmp_path: Path) -> None:
    study = made_study(tmp_path)
    run_trials(study, [BASELINE, WITH])
    assert numbers(study, BASELINE) == numbers(study, WITH) == [0, 1, 2, 3, 4]
    *others, last = [line for line in ledger.read(study.ledger) if line["cell"] == WITH.name]
    best = max((line for line in others if not line["augmentation_off"]), key=lambda line: line["score"])
    assert last["augmentation_off"]
    assert last["params"] == {"loss.criterion.margin": best["params"]["loss.criterion.margin"]}


@pytest.mark.usefixtures("in_process")
def test_trials_that_have_a_line_do_not_run_again(tmp_path: Path) -> None:
    study = made_study(tmp_path)
    run_trials(study, [BASELINE, WITH])
    before = study.ledger.read_bytes()
    run_trials(study, [BASELINE, WITH])
    for job in list_trials(study, [BASELINE, WITH]):
        run_trial(job)
    assert study.ledger.read_bytes() == before


@pytest.mark.usefixtures("in_process")
def test_a_trial_that_another_process_runs_is_left_to_it(tmp_path: Path) -> None:
    study = made_study(tmp_path)
    job = next(list_trials(study, [BASELINE]))
    job.lock.parent.mkdir()
    with FileLock(job.lock):
        run_trial(job)
        assert not study.ledger.exists()
    run_trial(job)  # the lock was released, as the system does when a process dies
    assert numbers(study, BASELINE) == [0]


def test_a_disk_that_is_full_uses_up_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(task: TrainingJob, fold: int) -> ledger.Fold:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("benchmarks.tuning.trial.trained", full)
    study = made_study(tmp_path)
    with pytest.raises(OSError, match="No space left"):
        run_trial(next(list_trials(study, [BASELINE])))
    assert not study.ledger.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_tpe_learns_from_the_trials_that_have_ended_and_repeats_itself(tmp_path: Path) -> None:
    def margins(folder: Path, best: float) -> list[float]:
        def peak(task: TrainingJob, fold: int) -> ledger.Fold:
            assert task.config.loss.criterion is not None
            return {**scored(task, fold), "score": 1 - abs(task.config.loss.criterion["margin"] - best)}

        study = made_study(folder, sampler="tpe", trials=16)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("benchmarks.tuning.trial.trained", peak)
            run_trials(study, [Cell("triplet", "none", 16, LOSS, {}, BASELINE.declared)])
        return [line["params"]["loss.criterion.margin"] for line in ledger.read(study.ledger)]

    low, again, high = margins(tmp_path / "a", 0.1), margins(tmp_path / "b", 0.1), margins(tmp_path / "c", 0.9)
    assert low == again and low[0] == 0.2
    assert sum(low[10:]) < sum(high[10:])


@pytest.mark.usefixtures("in_process")
def test_a_tpe_search_that_was_cut_off_proposes_what_an_undisturbed_one_does(tmp_path: Path) -> None:
    cell = Cell("triplet", "none", 14, LOSS, {}, BASELINE.declared)
    whole, cut = (made_study(tmp_path / name, sampler="tpe", trials=14) for name in ("whole", "cut"))
    run_trials(whole, [cell])
    for job in list(list_trials(cut, [cell]))[:12]:
        run_trial(job)
    run_trials(cut, [cell])
    params = [[line["params"] for line in ledger.read(study.ledger)] for study in (whole, cut)]
    assert params[0] == params[1]


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_a_trial_that_kills_every_worker_has_failed_after_its_restarts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.tuning.search.run_trial", killed_in_trial_one)
    study = made_study(tmp_path, workers=1)
    run_trials(study, [BASELINE])
    (line,) = [line for line in ledger.read(study.ledger) if line["trial"] == 1]
    assert line["outcome"] == "failed" and "died with exit code -9" in line["error"]
    assert numbers(study, BASELINE) == [0, 2, 3, 4, 1]
    assert capsys.readouterr().err.count("died with exit code -9") == MAX_RESTARTS + 1


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_a_storage_receives_each_trial_once(tmp_path: Path) -> None:
    study = made_study(tmp_path, storage=f"sqlite:///{tmp_path}/trials.db")
    for job in list(list_trials(study, [WITH]))[:2]:
        run_trial(job)
    copy_to_storage(study, [WITH])
    run_trials(study, [WITH])
    copy_to_storage(study, [WITH])
    copied = optuna.load_study(study_name="made/triplet/ee", storage=study.storage)
    lines = ledger.read(study.ledger)
    assert [trial.value for trial in copied.trials] == [line["score"] for line in lines]
    assert copied.best_value == max(line["score"] for line in lines)


def test_a_storage_that_cannot_be_reached_is_refused_without_its_password(tmp_path: Path) -> None:
    study = made_study(tmp_path, storage="postgresql+nosuch://tuner:secret@127.0.0.1:1/none")
    with pytest.raises(UserError, match="127.0.0.1:1/none cannot be used") as error:
        copy_to_storage(study, [BASELINE])
    assert "secret" not in str(error.value)
