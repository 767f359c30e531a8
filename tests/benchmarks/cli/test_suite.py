import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_training import TINY

from benchmarks.__main__ import main
from benchmarks.classification.jobs import list_classifications
from benchmarks.cli.suite import main as suite_command
from benchmarks.cli.train_and_report import _PreliminaryReports
from benchmarks.config.classification_suite import list_classification_kinds, read_classification_suite
from benchmarks.config.lists import list_kinds, read_suite
from benchmarks.errors import UserError
from benchmarks.jobs.estimate import estimate
from benchmarks.jobs.runner import TrainingJob, train_quietly
from benchmarks.jobs.suite import first_comparison, list_tasks, report_rounds
from benchmarks.report import write
from benchmarks.report.write import read_summary, write_report
from benchmarks.training.train import read_data

SETTINGS = [
    *TINY,
    "protocol.iterations_per_epoch=2",
    "protocol.epochs=2",
    "device=auto",  # as where nothing is said of it
]


def tasks_of(*words: str) -> list[TrainingJob]:
    suite, rest = read_suite(words[0], words[1:])
    return list_tasks(suite, list_kinds(suite, rest))


@pytest.mark.slow
def test_a_suite_is_every_data_loss_method_fold_and_seed_once() -> None:
    suite, rest = read_suite("smoke", [*SETTINGS, "seeds=[3,1]", "folds=[0,2]"])
    kinds = [(comparison.loss, method) for comparison in suite.comparisons for method in comparison.methods]
    suite.comparisons.append(suite.comparisons[0])  # the same baseline and methods again
    tasks = list_tasks(suite, list_kinds(suite, rest))
    listed = [(task.config.seed, task.config.fold, task.config.loss.name, task.config.method.name) for task in tasks]
    expected = [(seed, fold, *kind) for seed in (3, 1) for fold in (0, 2) for kind in kinds]
    first = [job for job in expected if job[2:] in kinds[:2]]
    assert listed == [*first, *(job for job in expected if job not in first)]
    assert [task.folder.name for task in first_comparison(tasks)] == [task.folder.name for task in tasks[: len(first)]]
    assert len({task.folder.path for task in tasks}) == len(tasks)


@pytest.mark.parametrize(
    ("methods", "pair"), [("[ee,none,iaa]", ["ee", "none"]), ("[none]", []), ("[none,iaa]", ["none", "iaa"])]
)
def test_the_first_comparison_is_one_method_with_its_baseline(methods: str, pair: list[str]) -> None:
    tasks = tasks_of("smoke", *SETTINGS, "seeds=[0]", f"comparisons=[{{loss: triplet, methods: {methods}}}]")
    assert [task.config.method.name for task in first_comparison(tasks)] == pair


@pytest.mark.slow
def test_the_first_comparison_has_the_raw_features() -> None:
    two = "comparisons=[{loss: triplet, methods: [none, ee, iaa]}, {loss: contrastive, methods: [none]}]"
    tasks = tasks_of("quickstart", "seeds=[0,1]", two)
    first = first_comparison(tasks)
    assert first == tasks[:6]
    arms = [(task.config.loss.name, task.config.method.name) for task in first]
    assert arms == [("raw", "none"), ("raw_standardized", "none"), *2 * [("triplet", "none"), ("triplet", "ee")]]


@pytest.mark.slow
def test_reports_grow_from_the_first_comparison_seed_by_seed() -> None:
    two = "comparisons=[{loss: triplet, methods: [none, ee]}, {loss: contrastive, methods: [none, iaa]}]"
    tasks = tasks_of("smoke", *SETTINGS, "seeds=[0,1,2,3]", two)
    rounds = report_rounds(tasks)
    assert rounds[0] == first_comparison(tasks)
    assert [len(part) for part in rounds] == [8, 8, 12]
    assert [{task.config.seed for task in part} for part in rounds[1:]] == [{0, 1}, {0, 1, 2}]
    assert not report_rounds(tasks_of("smoke", *SETTINGS, "comparisons=[{loss: triplet, methods: [none]}]"))


def test_the_largest_round_that_is_trained_is_reported_after_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    monkeypatch.setattr(write, "write_report", lambda *_, names, total: [written.append(len(names))])
    jobs: list[Any] = [SimpleNamespace(folder=SimpleNamespace(name=str(i)), is_done=lambda: False) for i in range(5)]
    for pause, expected in ((0.0, [2, 3, 4]), (1e9, [2])):
        reports = _PreliminaryReports([jobs[:2], jobs[:3], jobs[:4]], 5, tmp_path, tmp_path, pause)
        for job in jobs:
            reports.count(job)
            reports.wait()
        assert written == expected
        written.clear()


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["quickstart", "drawings", "standard"])
def test_every_loss_of_a_suite_is_there_baseline_and_with_a_method_over_enough_seeds(suite: str) -> None:
    config, _ = read_suite(suite, [])
    assert all(comparison.methods[0] == "none" and len(comparison.methods) > 1 for comparison in config.comparisons)
    assert 2 ** (1 - len(config.seeds)) < 0.05  # what the sign-flip test can reach
    small = [] if config.data == ["glyphs_lite0"] else ["data.num_classes=100", "data.image_size=8"]
    assert list_tasks(config, list_kinds(config, small))


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["seeds=many"], "suite smoke: seeds must be a list such as [0, 1], but got 'many'"),
        (["sedes=[1]"], "unknown key 'sedes'; the nearest known one is 'seeds'"),
        (["method.wrapper.num_points=1"], "unknown key 'method.wrapper.num_points'"),
        (["folds=[9]"], "fold must be between 0 and 3"),
        (["data=[glyfs]"], "unknown data 'glyfs'; the nearest known one is 'glyphs'"),
        (["executor=rai"], "unknown executor 'rai'; the nearest known one is 'ray'"),
        (["per_gpu=0"], "per_gpu must be at least 1 and at most 1024, but got 0"),
        ([f"runs={__file__}/deeper"], f"runs must be a directory, but {__file__} is a file"),
        (
            ["comparisons=[{loss: triplet, methods: [ee]}]"],
            "method=ee fold=0 seed=0 has no baseline to be compared with: add none to the methods of triplet",
        ),
        (["comparisons=[{loss: triplet, methods: []}]"], "triplet has no methods: name none and one or more others"),
        (["comparisons=[{loss: triplet}]"], "comparisons[0].methods is missing: it must be a list"),
        (["comparisons=[triplet]"], "comparisons[0] must be a mapping {loss: ..., methods: ...}, but got 'triplet'"),
        (["seeds=0"], "suite smoke: seeds must be a list such as [0, 1], but got 0"),
        (["seeds=[]"], "seeds must be one or more, but got []"),
        (["folds=[]"], "folds must be one or more, but got []"),
        (["data=[]"], "data must be one or more, but got []"),
        (["comparisons=[]"], "comparisons must be one or more, but got []"),
    ],
)
def test_a_wrong_word_is_refused_before_anything_is_trained(overrides: list[str], sentence: str) -> None:
    with pytest.raises(UserError) as refusal:
        tasks_of("smoke", *SETTINGS, *overrides)
    assert sentence in str(refusal.value)


@pytest.mark.slow
def test_the_size_of_a_suites_own_data_is_not_that_of_other_data() -> None:
    suite, rest = read_suite("smoke", ["data=[glyphs,folder]"])
    kinds = list_kinds(suite, rest)
    sizes = {data: {config.data.num_classes for config, _ in kinds[data]} for data in kinds}
    assert sizes == {"glyphs": {120}, "folder": {None}}


def test_a_baseline_loss_that_was_trained_before_may_be_left_out(tmp_path: Path) -> None:
    words = [*SETTINGS, f"runs={tmp_path}", "seeds=[0]"]
    (baseline,) = tasks_of("smoke", *words, "comparisons=[{loss: triplet, methods: [none]}]")
    baseline.folder.prepare()
    baseline.folder.finish({})
    (left,) = tasks_of("smoke", *words, "comparisons=[{loss: triplet, methods: [ee]}]")
    assert left.config.method.name == "ee"


def test_an_unfinished_training_of_another_list_is_refused_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SETTINGS, f"runs={tmp_path}", "comparisons=[{loss: triplet, methods: [none]}]"]
    tasks = tasks_of("smoke", *words, "seeds=[0,1,2]")
    begun, ended, started = (task.folder for task in tasks)
    for folder in (begun, ended, started):
        folder.prepare()
    ended.finish({"data": {"hash": read_data(tasks[1].config)[0].content_hash}})

    def said(*seeds: str) -> str:
        assert main(["suite", "smoke", *words, *seeds, "--dry-run"]) in (0, 2)
        return capsys.readouterr().err

    with started.locked(wait=False):
        refused = said("seeds=[1]")
        assert f"{begun.path}: unfinished and not among these trainings" in refused
        assert str(started.path) not in refused  # the process that holds it will finish it
        assert said("seeds=[0,1]") == ""
    assert str(started.path) in said("seeds=[0,1]")


def test_a_report_that_could_not_be_written_is_refused_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["suite", "smoke", *SETTINGS, f"runs={tmp_path}", f"out={__file__}", "--dry-run"]) == 2
    assert f"out must be a directory, but {__file__} is a file" in capsys.readouterr().err


def test_an_unknown_suite_is_refused_with_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["suite", "quikstart"]) == 2
    assert "unknown suite 'quikstart'; the nearest known one is 'quickstart'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_a_failed_run_is_told_the_others_end_and_the_next_call_mends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["smoke", *SETTINGS, f"runs={tmp_path}", "workers=1", "seeds=[0]"]
    first, *others = tasks_of(*words)
    first.folder.path.mkdir()
    (first.folder.path / "records").write_text("a file where the run wants a folder")

    assert main(["suite", *words, "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert f"{1 + len(others)} trainings, 0 of them done; to do: " in shown.out
    assert f"on {32 * (1 + len(others))} images; time unknown for {1 + len(others)} trainings" in shown.out
    assert not first.folder.log.exists()

    assert main(["suite", *words]) == 1
    shown = capsys.readouterr()
    assert f"failed: {first}: FileExistsError" in shown.err and str(first.folder.log) in shown.err
    assert "Traceback" in first.folder.log.read_text()
    assert f"1 of {1 + len(others)} trainings failed, so there is no report" in shown.out
    assert others and all(task.folder.is_done() for task in others)

    (first.folder.path / "records").unlink()
    assert main(["suite", *words]) == 0
    shown = capsys.readouterr()
    assert f"1 trained, {len(others)} done before, 0 failed" in shown.out
    assert str(tmp_path / "report" / "report.html") in shown.out and (tmp_path / "report" / "report.html").exists()
    (done,) = {json.loads(task.folder.result.read_text())["images_seen"] for task in (first, *others)}
    assert done == 32


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_a_preliminary_report_is_written_before_the_others_are_trained_and_the_last_replaces_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[set[str], int]] = []

    def recorded(runs: Path, out: Path, *rest: Any, **more: Any) -> list[Path]:
        paths = write_report(runs, out, *rest, **more)
        assert ("Preliminary: 4 of 8 trainings." in paths[0].read_text()) == bool(more)
        losses = {row.split(",")[1] for row in (out / "results.csv").read_text().splitlines()[1:]}
        written.append((losses, len(list(runs.glob("*/done")))))
        return paths

    write_report = write.write_report
    monkeypatch.setattr(write, "write_report", recorded)
    two = "comparisons=[{loss: triplet, methods: [none, ee]}, {loss: contrastive, methods: [none, iaa]}]"
    words = ["smoke", *SETTINGS, f"runs={tmp_path}", "workers=1", "seeds=[0,1]", two]
    assert main(["suite", *words]) == 0
    shown = capsys.readouterr().out
    assert f"preliminary report, on 4 of 8 trainings: {tmp_path / 'report' / 'report.html'}" in shown
    (first, _), (last, done) = written
    assert (first, last, done) == ({"triplet"}, {"triplet", "contrastive"}, 8)
    assert main(["suite", *words]) == 0
    assert "preliminary report" not in capsys.readouterr().out


def test_what_hinders_a_preliminary_report_is_logged_and_the_others_are_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = tasks_of("smoke", *SETTINGS, f"runs={tmp_path}", "seeds=[0]")[:2]
    report = _PreliminaryReports([tasks], 3, tmp_path, tmp_path / "report")
    for task in tasks:  # finished, but without the result that a report reads
        task.folder.prepare()
        task.folder.finish({})
        report.count(task)
    report.wait()
    said = capsys.readouterr().out
    assert said.startswith("no preliminary report: ") and str(tasks[0].folder.path) in said


@pytest.mark.slow
def test_a_suite_of_classifiers_pairs_losses_and_counts_mixtures_as_a_question_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "data.num_classes=12", "data.image_size=16", "trunk.network.widths=[4,8]", "protocol.epochs=1", "quiet=true",
        "mixes=[none,cutmix]", "workers=1", "seeds=[0,1]", f"runs={tmp_path}",
    ]  # fmt: skip
    suite, rest = read_classification_suite("classification_small", words)
    jobs, first = list_classifications(suite, list_classification_kinds(suite, rest))
    assert len(jobs) == 8 and {job.config.mix.name for job in first} == {"none"}
    assert jobs[: len(first)] == first
    for job in jobs:
        train_quietly(job)
    assert "8 trainings, 8 of them done" in str(estimate(jobs))
    summary = read_summary(tmp_path)
    assert [(c.method.loss, c.method.method, c.family) for c in summary.comparisons] == [
        ("softmax", "introspective", 2),
        ("softmax+cutmix", "introspective", 2),
    ]
    assert [(c.method.loss, c.baseline.loss, c.method.method) for c in summary.mixtures] == [
        ("softmax+cutmix", "softmax", "none"),
        ("softmax+cutmix", "softmax", "introspective"),
    ]
    (page, text, *_, comparisons, _) = write_report(tmp_path, tmp_path / "report")
    assert "MAP@R" not in text.read_text().replace("margin", "") and "Top-1" in page.read_text()
    assert "softmax+cutmix,none,softmax,small_cnn" in comparisons.read_text()
    with pytest.raises(UserError, match="the nearest known one is 'classification_small'"):
        suite_command(["clasification_small"])
    with pytest.raises(UserError, match="losses must have softmax"):
        read_classification_suite("classification_small", ["losses=[introspective_softmax]"])
