import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from tiny_training import TINY

from benchmarks.errors import UserError
from benchmarks.tuning import ledger
from benchmarks.tuning.cells import Cell, list_cells, trial_config
from benchmarks.tuning.search import list_trials
from benchmarks.tuning.study import StudyConfig, read_study
from benchmarks.tuning.trial import run_trial

SETTINGS = [*TINY, "protocol.iterations_per_epoch=3", "protocol.epochs=1"]
TRIPLET = "comparisons=[{loss:triplet,methods:[none,ee]}]"


def tiny_study(runs: Path, *overrides: str) -> tuple[StudyConfig, dict[str, Cell]]:
    study = read_study("smoke", [*SETTINGS, TRIPLET, f"runs={runs}", *overrides])
    study.folder.mkdir(parents=True)
    return study, {cell.name: cell for cell in list_cells(study)}


def worked(study: StudyConfig, cell: Cell) -> list[ledger.Line]:
    """The ledger after all of a search's trials, done here."""
    for job in list_trials(study, [cell]):
        run_trial(job)
    return [line for line in ledger.read(study.ledger) if line["cell"] == cell.name]


Searched = tuple[StudyConfig, list[ledger.Line], list[ledger.Line]]  # its baseline's, and its method's


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    study, cells = tiny_study(tmp_path_factory.mktemp("runs"))
    return study, worked(study, cells["triplet/none"]), worked(study, cells["triplet/ee"])


def made_training(monkeypatch: pytest.MonkeyPatch, scores: Iterator[float]) -> None:
    """Let no training take place: each gives the next score."""

    def made(task: object, fold: int) -> ledger.Fold:
        score = next(scores)
        return {"fold": fold, "score": score, "epoch": 1, "active_steps": 1, "images": 1, "seconds": 1.0, "run": ""}

    monkeypatch.setattr("benchmarks.tuning.trial.trained", made)


@pytest.mark.slow
def test_a_trials_line_is_what_its_trainings_say_and_none_of_them_saw_the_test_set(searched: Searched) -> None:
    study, lines, _ = searched
    assert [(line["trial"], line["outcome"]) for line in lines] == [(number, "complete") for number in range(4)]
    for line in lines:
        results = []
        for fold in line["folds"]:
            result = json.loads((study.folder / "trials" / fold["run"] / "result.json").read_text())
            best = max(entry["val"]["mean_average_precision_at_r"] for entry in result["history"])
            assert (fold["score"], fold["images"], fold["fold"]) == (best, 3 * 8, result["fold"])
            assert result["test_scorings"] == 0 and all(entry["test"] is None for entry in result["history"])
            assert result["seed"] == study.seed
            results.append(best)
        assert line["score"] == pytest.approx(sum(results) / 2) and line["images"] == 2 * 3 * 8
        assert line["seconds"] == pytest.approx(sum(fold["seconds"] for fold in line["folds"])) and line["ended"]


def test_a_methods_trials_without_augmentation_are_trainings_of_the_baseline_loss(searched: Searched) -> None:
    _, baseline, method = searched
    assert [line["augmentation_off"] for line in method] == [True, False, False, True]
    assert [fold["run"] for fold in method[0]["folds"]] == [fold["run"] for fold in baseline[0]["folds"]]
    assert method[0]["images"] == baseline[0]["images"]  # counted in both budgets, trained once
    trained = {fold["run"] for line in [*baseline, *method] for fold in line["folds"]}
    assert len(trained) == 2 * (4 + 4) - 2
    assert sum(line["images"] for line in baseline) == sum(line["images"] for line in method)


@pytest.mark.slow
def test_a_training_that_fails_is_a_trial_without_a_score(tmp_path: Path) -> None:
    words = ["folds=[0]", "comparisons=[{loss:triplet,methods:[none]}]", "protocol.optimizer.lr=1e30"]
    study, cells = tiny_study(tmp_path, *words)
    lines = worked(study, cells["triplet/none"])
    assert [line["outcome"] for line in lines] == ["failed"] * 4
    assert all(line["error"].startswith("TrainingError: ") and line["score"] is None for line in lines)


def test_a_pruned_trial_ends_after_whole_folds_and_trials_that_every_search_holds_are_never_pruned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optuna.trial.Trial.should_prune", lambda trial: True)
    made_training(monkeypatch, itertools.repeat(0.5))
    study, cells = tiny_study(tmp_path, "pruning=median", "trials=5")
    lines = worked(study, cells["triplet/ee"])
    assert [line["outcome"] for line in lines] == ["complete", "complete", "pruned", "pruned", "complete"]
    assert [len(line["folds"]) for line in lines] == [2, 2, 1, 1, 2]  # the first rung is a whole training


def test_the_median_pruner_gives_up_what_is_worse_than_the_others_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # by training; the fifth trial's first fold is bad
    made_training(monkeypatch, iter([0.5, 0.5] * 4 + [0.1] + [0.6, 0.6]))
    study, cells = tiny_study(tmp_path, "pruning=median", "trials=6", "comparisons=[{loss:triplet,methods:[none]}]")
    outcomes = [line["outcome"] for line in worked(study, cells["triplet/none"])]
    assert outcomes == ["complete"] * 4 + ["pruned", "complete"]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["trials=3"], "trials must be 4 to 10000, but got 3"),
        (["extra_trials=99999999999"], "extra_trials must be null or 0 to 10000, but got 99999999999"),
        (["folds=[0,0]"], "folds must be one or more, each once, but got [0, 0]"),
        (["sampler=grid"], "sampler must be one of quasi_random, tpe, but got 'grid'"),
        (["pruning=hard"], "pruning must be null or one of median, but got 'hard'"),
        (["extra_trials=-1"], "extra_trials must be null or 0 to 10000, but got -1"),
        (["trials=many"], "study smoke: trials"),
        (["comparisons=[{loss:tripelt,methods:[none]}]"], "unknown search space loss 'tripelt'"),
        (["comparisons=[{loss:triplet,methods:[eee]}]"], "unknown search space method 'eee'"),
        (["comparisons=[{loss:triplet,methods:[ps]}]"], "loss=triplet method=ps cannot be built"),
        (["loss.criterion.margin=5"], "loss.criterion.margin=5 lies outside its search space"),
        (["protocol.epoch=5"], "unknown key 'protocol.epoch'; the nearest known one is 'protocol.epochs'"),
    ],
)
def test_a_study_that_cannot_be_is_refused_in_words(overrides: list[str], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refusal:
        tiny_study(tmp_path, *overrides)
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    ("method", "key", "distribution"),
    [
        ("ee", "method.wrapper.num_points", IntDistribution(-1, 8)),
        ("mixup", "method.trainer.alpha", FloatDistribution(-1, 4)),
    ],
)
def test_a_range_whose_end_a_method_refuses_is_refused_before_anything_runs(
    method: str, key: str, distribution: BaseDistribution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "benchmarks.tuning.cells.read_space",
        lambda group, name: {key: distribution} if group == "method" else {},
    )
    problem = f"search space of triplet/{method} at its lowest values: .*{key.split('.')[-1]} must be"
    with pytest.raises(UserError, match=problem):
        tiny_study(tmp_path, f"comparisons=[{{loss: triplet, methods: [{method}]}}]")


def test_a_parameter_reaches_its_place_whatever_its_type(tmp_path: Path) -> None:
    study, cells = tiny_study(tmp_path)
    params = {"method.wrapper.num_points": 5, "method.wrapper.pairing": "all_pairs", "loss.criterion.margin": 1e-7}
    config, _ = trial_config(study, cells["triplet/ee"], params)
    assert config.method.wrapper is not None
    assert (config.method.wrapper["num_points"], config.method.wrapper["pairing"]) == (5, "all_pairs")
    assert config.loss.criterion["margin"] == 1e-7 and config.protocol.test_scoring == "never"


def test_trials_of_the_reality_check_are_its_trainings_without_the_test_set() -> None:
    study = read_study("reality_check_cub", [])
    cell = Cell("triplet", "ee", study.trials, {}, {}, {})
    config, options = trial_config(study, cell, {"loss.criterion.margin": 0.1})
    assert (config.protocol.name, config.trunk.name, config.data.name) == ("reality_check", "bn_inception", "cub")
    assert (config.protocol.test_scoring, config.protocol.keep_embeddings) == ("never", False)
    assert (config.seed, config.fold) == (
        1000,
        0,
    ) and options.runs == "runs/reality_check_cub/studies/reality_check_cub/trials"
