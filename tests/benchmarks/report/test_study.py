import json

import pytest

from benchmarks.errors import UserError
from benchmarks.report.study import read_studies, read_study


def test_a_study_is_read_as_it_was_written(canned):
    study = read_study(canned.study(trials=6, best=3))
    assert [cell.name for cell in study.cells] == ["triplet/none", "triplet/ee", "triplet/none+"]
    baseline, method, longer = study.cells
    assert (len(baseline.trials), len(longer.trials), baseline.count("failed")) == (6, 12, 1)
    assert (baseline.images, baseline.seconds) == (6 * 9600, 360)
    assert method.best.trial == 3 and method.best.on_edge == ("method.strength",)
    assert longer.budget_trials == 12


def test_failed_trials_count_as_the_worst_complete_one(canned):
    cell = read_study(canned.study()).cells[0]
    complete = [100 * trial.score for trial in cell.trials if trial.score is not None]
    assert cell.scores[1] == min(complete) and sorted(cell.scores)[1:] == sorted(complete)
    assert cell.best_so_far[-1] == cell.expected_best[-1] == pytest.approx(100 * cell.best.score)
    assert cell.expected_best[0] < cell.expected_best[-1]


def test_a_torn_line_is_left_out(canned):
    folder = canned.study()
    with open(folder / "ledger.jsonl", "a") as ledger:
        ledger.write('{"study": "small", "cell": "trip')
    assert len(read_study(folder).cells[0].trials) == 6


def test_of_a_trial_that_was_tried_again_the_complete_line_counts(canned):
    folder = canned.study()
    failed, *_ = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines() if "failed" in line]
    again = {**failed, "outcome": "complete", "score": 0.77, "error": None}
    with open(folder / "ledger.jsonl", "a") as ledger:
        ledger.write(json.dumps(again) + "\n" + json.dumps(failed) + "\n")
    cell = read_study(folder).cells[0]
    assert cell.count("failed") == 0 and len(cell.trials) == 6
    assert 77 in cell.scores


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("study.json", lambda content: content.pop("cells"), "study.json: no cells"),
        ("study.json", lambda content: content.update(schema=9), "schema 9, but this version reads schema 3"),
        ("best.json", lambda content: content["triplet/ee"].update(score=7), "score = 7"),
    ],
)
def test_damage_is_named(canned, name, change, message):
    folder = canned.study()
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        read_study(folder)


def test_an_outcome_that_nobody_knows_is_refused(canned):
    folder = canned.study()
    path = folder / "ledger.jsonl"
    path.write_text(path.read_text().replace('"outcome": "failed"', '"outcome": "vanished"', 1))
    with pytest.raises(UserError, match="outcome = 'vanished'"):
        read_study(folder)


def test_a_folder_without_studies_has_none(tmp_path):
    assert read_studies(tmp_path) == {}
