import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from forked import start_command
from tiny_training import TINY

from benchmarks.__main__ import main
from benchmarks.jobs.executors import Outcome
from benchmarks.tuning import ledger

SETTINGS = [
    *TINY,
    "protocol.iterations_per_epoch=6",
    "protocol.epochs=2",
    "comparisons=[{loss:triplet,methods:[none,ee]}]",
    "folds=[0]",
    "workers=1",
]


def files(runs: Path) -> dict[str, Any]:
    folder = runs / "studies" / "smoke"
    read = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("study", "best")}
    return {**read, "ledger": ledger.read(folder / "ledger.jsonl")}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that has ended, undisturbed and in this process."""

    def here(executor: str, function: Callable[[Any], object], tasks: Sequence[Any], *_: object) -> Iterator[Outcome]:
        for number, task in enumerate(tasks):
            function(task)
            yield Outcome(number, None)

    runs = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("benchmarks.tuning.search.run_all", here)
        assert main(["tune", "smoke", *SETTINGS, f"runs={runs}"]) == 0
    return runs


def wait_for(path: Path, *commands: BaseProcess) -> None:
    deadline = time.monotonic() + 240
    while not path.exists():
        assert all(command.is_alive() for command in commands) and time.monotonic() < deadline
        time.sleep(0.002)


def kill_all(command: BaseProcess) -> None:
    """Kill a command that has not ended, and its workers."""
    if command.is_alive():
        assert command.pid is not None
        os.killpg(command.pid, signal.SIGKILL)
    command.join()


@pytest.mark.slow
def test_every_search_has_its_trials_its_images_and_its_best_one(tuned: Path) -> None:
    found = files(tuned)
    cells = found["study"]["cells"]
    assert {name: cell["budget_trials"] for name, cell in cells.items()} == {
        "triplet/none": 4,
        "triplet/ee": 4,
        "triplet/none+": 5,
    }
    for name, cell in cells.items():
        lines = [line for line in found["ledger"] if line["cell"] == name]
        assert sorted(line["trial"] for line in lines) == list(range(cell["budget_trials"]))
        assert sum(line["images"] for line in lines) == cell["budget_images"] == cell["budget_trials"] * 2 * 6 * 8
        best = found["best"][name]
        assert best["score"] == max(line["score"] for line in lines)
        assert set(best["params"]) <= set(cell["space"]) and set(best["on_edge"]) <= set(best["params"])
    assert sum(line["augmentation_off"] for line in found["ledger"] if line["cell"] == "triplet/ee") == 2
    assert found["best"]["triplet/none+"]["score"] >= found["best"]["triplet/none"]["score"]


@pytest.mark.slow
def test_a_study_that_has_ended_is_not_searched_again(tuned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (tuned / "studies/smoke/ledger.jsonl").read_bytes()
    assert main(["tune", "smoke", *SETTINGS, f"runs={tuned}"]) == 0
    assert "triplet/ee: validation MAP@R" in capsys.readouterr().out
    assert (tuned / "studies/smoke/ledger.jsonl").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "named"), [("trials=5", "trials"), ("protocol.epochs=3", "cells"), ("sampler=tpe", "sampler")]
)
def test_another_search_under_the_same_name_is_refused(
    changed: str, named: str, tuned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", "smoke", *SETTINGS, f"runs={tuned}", changed]) == 2
    shown = capsys.readouterr().err
    assert f"holds a study with other {named}" in shown and "runs=ANOTHER_FOLDER" in shown


@pytest.mark.slow
def test_a_study_on_other_images_is_refused(tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = shutil.copytree(tuned, tmp_path / "runs")
    path = runs / "studies/smoke/study.json"
    images = json.loads(path.read_text())["data_hash"]
    path.write_text(path.read_text().replace(images, "0" * 64))
    assert main(["tune", "smoke", *SETTINGS, f"runs={runs}"]) == 2
    assert "holds a study with other data_hash" in capsys.readouterr().err


def test_a_dry_run_tells_the_budget_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "smoke", *SETTINGS, f"runs={tmp_path / 'runs'}", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "3 searches, 13 trials" in shown and "8 trainings, 0 of them done" in shown
    assert "96 steps on 768 images" in shown
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (f"runs={__file__}", "runs must be"),
        ("comparisons=[]", "comparisons must be one or more, but got []"),
        ("executor=rai", "unknown executor 'rai'; the nearest known one is 'ray'"),
        ("workers=0", "workers must be at least 1"),
    ],
)
def test_a_study_that_cannot_be_searched_is_refused_before_it_begins(
    override: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", "smoke", *SETTINGS, f"runs={tmp_path}", override, "--dry-run"]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_a_study_killed_in_the_middle_goes_on_and_finds_what_an_undisturbed_one_finds(
    tuned: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "studies" / "smoke"
    process = start_command(["tune", "smoke", *SETTINGS, f"runs={tmp_path}"])
    try:
        wait_for(folder / "locks" / "triplet.none.2", process)
    finally:
        kill_all(process)  # the command and its workers, at work on a trial
    written = (folder / "ledger.jsonl").read_bytes()

    assert main(["tune", "smoke", *SETTINGS, f"runs={tmp_path}"]) == 0
    assert (folder / "ledger.jsonl").read_bytes().startswith(written)
    disturbed, undisturbed = files(tmp_path), files(tuned)
    assert disturbed["best"] == undisturbed["best"]
    numbers = ("cell", "trial", "params", "augmentation_off", "score", "images", "outcome")
    assert sorted(str([line[key] for key in numbers]) for line in disturbed["ledger"]) == sorted(
        str([line[key] for key in numbers]) for line in undisturbed["ledger"]
    )


@pytest.mark.slow
def test_two_commands_share_a_study_and_one_that_is_killed_leaves_its_trial_to_the_other(
    tuned: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "studies" / "smoke"
    first, second = (start_command(["tune", "smoke", *SETTINGS, f"runs={tmp_path}"]) for _ in range(2))
    try:
        wait_for(folder / "locks" / "triplet.none.2", first, second)
        kill_all(first)
        second.join(240)
        assert second.exitcode == 0
    finally:
        for process in (first, second):
            kill_all(process)
    shared, alone = files(tmp_path), files(tuned)
    assert shared["best"] == alone["best"]
    trials = [(line["cell"], line["trial"]) for line in shared["ledger"]]
    assert sorted(trials) == sorted((line["cell"], line["trial"]) for line in alone["ledger"])


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_final_runs_take_the_best_trials_score_the_test_set_once_and_write_the_report(
    tuned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["final", "smoke", "seeds=[0,1]", "folds=[0,1]", f"runs={tuned}", "workers=1", "quiet=true"]
    assert main([*words, "--dry-run"]) == 0
    capsys.readouterr()
    assert not list(tuned.glob("*/result.json"))
    assert main([*words, "seeds=[0]", "folds=[0]"]) == 0  # a training of one fold is one of those of several
    assert main(words) == 0
    assert str(tuned / "report" / "report.html") in capsys.readouterr().out
    best = files(tuned)["best"]
    results = [json.loads(path.read_text()) for path in tuned.glob("*/result.json")]
    for name, chosen in best.items():
        loss, _, method = name.partition("/")
        method = "none" if method == "none+" or chosen["augmentation_off"] else method
        own = [r for r in results if (r["loss"], r["method"], r["tuned"]["trial"]) == (loss, method, chosen["trial"])]
        assert sorted((result["seed"], result["fold"]) for result in own) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert all(result["tuned"]["study"] == "smoke" and result["test_scorings"] == 1 for result in results)
    together = [json.loads(path.read_text()) for path in tuned.glob("concatenated/*.json")]
    assert len(together) == len(results) / 2 and {entry["embedding_size"] for entry in together} == {16}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["seeds=[0,1000]"], "holds 1000, the seed of the trials"),
        (["protocol.epochs=9"], "unknown key of final runs 'protocol.epochs'"),
        (["seeds=few"], "final smoke: seeds"),
        (["seeds=[]"], "seeds must be one or more, but got []"),
        (["folds=[]"], "folds must be one or more, but got []"),
        (["runs=nowhere"], "nowhere/studies/smoke/study.json does not exist: tune first"),
    ],
)
def test_final_runs_that_would_not_be_what_was_tuned_are_refused(
    overrides: list[str], sentence: str, tuned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["final", "smoke", f"runs={tuned}", *overrides]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.slow
def test_a_study_that_has_not_ended_leads_to_no_final_runs(
    tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "studies" / "smoke"
    folder.mkdir(parents=True)
    (folder / "study.json").write_text((tuned / "studies/smoke/study.json").read_text())
    lines = (tuned / "studies/smoke/ledger.jsonl").read_text().splitlines(keepends=True)
    (folder / "ledger.jsonl").write_text("".join(lines[:3]))
    assert main(["final", "smoke", f"runs={tmp_path}"]) == 2
    assert "triplet/none has 3 of 4 trials" in capsys.readouterr().err
