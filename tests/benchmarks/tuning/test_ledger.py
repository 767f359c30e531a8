from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.tuning import ledger


def test_lines_are_only_ever_added(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    before = b""
    for number in range(3):
        ledger.append(path, {"trial": number})
        assert path.read_bytes().startswith(before) and len(path.read_bytes()) > len(before)
        before = path.read_bytes()
    assert ledger.read(path) == [{"trial": number} for number in range(3)]


def test_many_writers_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda number: ledger.append(path, {"trial": number, "error": "x" * 20_000}), range(40)))
    assert sorted(line["trial"] for line in ledger.read(path)) == list(range(40))


def test_a_line_cut_off_is_told_and_harms_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger.append(path, {"trial": 0})
    with open(path, "ab") as file:
        file.write(b'{"trial": 1, "par')
    ledger.append(path, {"trial": 2})
    assert ledger.read(path) == [{"trial": 0}, {"trial": 2}]
    assert "line 2 was not written to its end" in capsys.readouterr().err


def test_no_ledger_has_no_lines(tmp_path: Path) -> None:
    assert ledger.read(tmp_path / "ledger.jsonl") == []


def test_a_number_that_json_does_not_know_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with pytest.raises(ValueError, match="not JSON compliant"):
        ledger.append(path, {"score": float("nan")})
    assert not path.exists()


def test_the_best_trial_is_complete_and_of_equal_ones_the_earliest() -> None:
    lines = [
        {"cell": "a", "trial": 3, "outcome": "complete", "score": 0.5},
        {"cell": "a", "trial": 1, "outcome": "complete", "score": 0.5},
        {"cell": "a", "trial": 0, "outcome": "pruned", "score": None},
        {"cell": "b", "trial": 0, "outcome": "complete", "score": 0.9},
        {"cell": "a", "trial": 1, "outcome": "failed", "score": None},
    ]
    assert ledger.best(ledger.complete(lines, "a")) == lines[1]
    assert ledger.best(ledger.complete(lines, "c")) is None
    assert ledger.count(lines) == 4
