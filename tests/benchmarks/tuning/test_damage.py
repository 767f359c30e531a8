"""Studies that are damaged, or come from another person."""

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_training import TINY

from benchmarks.__main__ import main
from benchmarks.errors import UserError
from benchmarks.tuning import ledger
from benchmarks.tuning.cells import list_cells
from benchmarks.tuning.final import list_rows
from benchmarks.tuning.search import list_trials
from benchmarks.tuning.study import FinalConfig, read_study
from benchmarks.tuning.summary import load_study, print_summary, write_best, write_study


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The directory of a study that has ended, written without trainings."""
    overrides = ["comparisons=[{loss:triplet,methods:[ee]}]", "folds=[0]", "extra_trials=0", f"runs={tmp_path}"]
    study = read_study("smoke", [*TINY, *overrides])
    cells = list_cells(study)
    write_study(study, cells)
    for job in list_trials(study, cells):
        params = {"loss.criterion.margin": 0.2} if job.planned is None else job.planned.params
        fold: ledger.Fold = {
            "fold": 0,
            "score": 0.5 + job.number / 100,
            "epoch": 1,
            "active_steps": 3,
            "images": 10,
            "seconds": 1.0,
            "run": "0" * 12,
        }
        off = job.planned is None or job.planned.augmentation_off
        started = ledger.now()
        line = ledger.entry("smoke", job.cell.name, job.number, params, off, [fold], "complete", started)
        ledger.append(study.ledger, line)
    write_best(study, cells, ledger.read(study.ledger))
    return study.folder


def use(folder: Path) -> None:
    """Everything that ``final`` reads of a study."""
    runs = str(folder.parent.parent)
    list_rows(load_study("smoke", runs, []), FinalConfig(runs=runs, seeds=[0]))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.slow
def test_an_undamaged_study_can_be_used(folder: Path) -> None:
    use(folder)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is cut off")
def test_a_flipped_byte_is_refused_in_one_sentence_or_changes_nothing_that_is_used(
    folder: Path, fuzz_seeds: Callable[[int], Iterator[int]]
) -> None:
    files = {path: path.read_bytes() for path in (folder / "study.json", folder / "ledger.jsonl")}
    refused = 0
    for seed in fuzz_seeds(60):
        draw = random.Random(seed)
        path = draw.choice(list(files))
        content = bytearray(files[path])
        for _ in range(draw.choice((1, 1, 1, 5))):
            place = draw.randrange(len(content))
            change = draw.choice(("flip", "cut", "drop", "double"))
            if change == "flip":
                content[place] = draw.randrange(256)
            elif change == "cut":
                del content[place:]
                content += b"\n"
            elif change == "drop":
                del content[place : place + draw.randrange(1, 20)]
            else:
                content[place:place] = content[place : place + 10]
        path.write_bytes(content)
        try:
            use(folder)
        except UserError as error:
            refused += 1
            assert "\n" not in str(error), seed
        except Exception as error:
            pytest.fail(f"seed {seed}: {type(error).__name__}: {error}")
        finally:
            path.write_bytes(files[path])
    assert refused


@pytest.mark.parametrize(
    ("old", "new", "fragment"),
    [
        ('"seed": 1000', '"seed": "many"', "seed"),
        ('"folds": [\n  0\n ]', '"folds": {}', "folds"),
        ('"trials": 4', '"trials": 1e99', "trials"),
        ('"comparisons": [', '"comparisons": ["x",', "comparisons"),
        ('"overrides": [', '"overrides": [3,', "overrides"),
        ('"schema": ', '"schema": 9', "schema"),
    ],
)
def test_a_value_of_a_wrong_type_in_study_json_is_refused_by_path(
    old: str, new: str, fragment: str, folder: Path
) -> None:
    edit(folder / "study.json", old, new)
    with pytest.raises(UserError, match=f"(?s){folder / 'study.json'}.*{fragment}"):
        use(folder)


def test_a_callable_that_a_study_names_is_not_called(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = folder.parent / "written"
    hook = f"method.hook={{_target_: numpy.savetxt, fname: {target}, X: [1]}}"
    edit(folder / "study.json", '"overrides": [', f'"overrides": [{json.dumps(hook)},')
    assert main(["final", "smoke", f"runs={folder.parent.parent}", "--dry-run"]) == 2
    assert "not allowed" in capsys.readouterr().err and not target.exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("method.hook", {"_target_": "numpy.savetxt", "fname": "written", "X": [1]}),
        ("loss.criterion.margin", 1e9),
        ("loss.criterion.margin", "0.2"),
        ("method.wrapper.num_points", True),
    ],
)
def test_parameters_outside_the_space_are_refused(key: str, value: object, folder: Path) -> None:
    lines = [json.loads(text) for text in (folder / "ledger.jsonl").read_text().splitlines()]
    for line in lines:
        if line["cell"] == "triplet/ee" and not line["augmentation_off"]:
            line["params"][key] = value
    (folder / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(
        UserError, match=f"damaged: .*ledger.jsonl: triplet/ee, trial .*{key}.* not in the search space"
    ):
        use(folder)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [('"epoch": 1', '"epoch": 0', "untrained"), ('"active_steps": 3', '"active_steps": 0', "added nothing")],
)
def test_a_search_whose_trials_are_no_evidence_has_no_score_and_leads_to_no_final_runs(
    old: str, new: str, reason: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (folder / "ledger.jsonl").read_text().splitlines(keepends=True)
    changed = [line.replace(old, new) if "triplet/ee" in line else line for line in lines]
    changed = [line.replace('"augmentation_off": true', '"augmentation_off": false') for line in changed]
    (folder / "ledger.jsonl").write_text("".join(changed))
    with pytest.raises(UserError, match=f"triplet/ee: no trial .* counts.*{reason}"):
        use(folder)
    study = load_study("smoke", str(folder.parent.parent), [])
    assert print_summary(study, list_cells(study)) == 1
    shown = capsys.readouterr().out
    assert reason in shown and "triplet/none: validation MAP@R" in shown


@pytest.mark.parametrize("trials", ["3", "10001", "99999999999999999999"])
def test_a_number_of_trials_out_of_range_is_refused_at_once(trials: str, capsys: pytest.CaptureFixture[str]) -> None:
    started = time.process_time()
    assert main(["tune", "smoke", f"trials={trials}", "--dry-run"]) == 2
    assert time.process_time() - started < 1
    assert f"got {trials}" in capsys.readouterr().err
