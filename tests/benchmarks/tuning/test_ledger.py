import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import UserError
from benchmarks.tuning import ledger


def line(trial: int = 0, **changed: Any) -> ledger.Line:
    """A complete trial of triplet/ee with score 0.5."""
    fold: ledger.Fold = {
        "fold": 0,
        "score": 0.5,
        "epoch": 3,
        "active_steps": 20,
        "images": 100,
        "seconds": 2.0,
        "run": "0" * 12,
    }
    of = {"study": "made", "cell": "triplet/ee", "trial": trial, "params": {}, "augmentation_off": False}
    return {**ledger.entry(**of, folds=[fold], outcome="complete", started=ledger.now()), **changed}


def test_lines_are_only_ever_added(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    before = b""
    for number in range(3):
        ledger.append(path, line(number))
        assert path.read_bytes().startswith(before) and len(path.read_bytes()) > len(before)
        before = path.read_bytes()
    assert [line["trial"] for line in ledger.read(path)] == [0, 1, 2]


def test_many_writers_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda number: ledger.append(path, line(number, error="x" * 20_000)), range(40)))
    assert sorted(line["trial"] for line in ledger.read(path)) == list(range(40))


def test_a_line_that_is_cut_off_is_left_out_with_a_warning_and_harms_no_other(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger.append(path, line(0))
    with open(path, "ab") as file:
        file.write(b'{"trial": 1, "par')
    ledger.append(path, line(2))
    with pytest.warns(UserWarning, match="line 2 is cut off"):
        assert [line["trial"] for line in ledger.read(path)] == [0, 2]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cell", 3),
        ("trial", "first"),
        ("params", []),
        ("augmentation_off", 1),
        ("outcome", "well"),
        ("score", 1.5),
        ("score", None),
        ("images", None),
        ("seconds", "2"),
        ("folds", [3]),
    ],
)
def test_a_damaged_line_is_refused_by_file_line_and_key(key: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger.append(path, line(0))
    with open(path, "a") as file:
        file.write(json.dumps({**line(1), key: value}) + "\n")
    with pytest.raises(UserError, match=rf"damaged: .*ledger.jsonl: line 2: .*{key}"):
        ledger.read(path)


@pytest.mark.filterwarnings("ignore:.*is cut off")
def test_whatever_is_in_a_ledger_is_read_or_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    for content in (b"[1]\n", b"3\n", b"null\n", b"[" * 100_000, b"\xff\x00\n", b'"' * 7, b"{}\n"):
        path.write_bytes(content)
        try:
            assert ledger.read(path) == []
        except UserError as error:
            assert str(error).startswith(f"damaged: {path}")


def test_a_missing_ledger_has_no_lines(tmp_path: Path) -> None:
    assert ledger.read(tmp_path / "ledger.jsonl") == []


def test_a_number_that_json_does_not_know_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with pytest.raises(ValueError, match="not JSON compliant"):
        ledger.append(path, line(score=float("nan")))
    assert not path.exists()


def test_the_best_trial_is_complete_and_of_equal_ones_the_earliest() -> None:
    lines = [
        line(3),
        line(1),
        line(0, outcome="pruned", score=None),
        line(0, cell="b", score=0.9),
        line(1, outcome="failed", score=None),
    ]
    assert ledger.best(ledger.complete(lines, "triplet/ee")) == lines[1]
    assert ledger.best(ledger.complete(lines, "c")) is None
    assert ledger.ended(lines, "triplet/ee") == {0, 1, 3}


def folds(*epochs_and_steps: tuple[int, int | None]) -> list[dict[str, Any]]:
    return [{"score": 0.5, "epoch": epoch, "active_steps": steps} for epoch, steps in epochs_and_steps]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"folds": folds((0, 20), (0, 20))}, "untrained"),
        ({"folds": folds((0, 20), (1, 20))}, None),
        ({"folds": folds((2, 0), (3, 0))}, "added nothing"),
        ({"folds": folds((2, 0), (3, 1))}, None),
        ({"folds": folds((2, None), (3, None))}, None),
        ({"folds": folds((2, 0), (3, 0)), "augmentation_off": True}, None),
    ],
)
def test_untrained_networks_and_methods_that_did_nothing_are_no_evidence(
    changed: dict[str, Any], reason: str | None
) -> None:
    better = line(0, score=0.9, **changed)
    found = ledger.no_evidence(better)
    assert found is None if reason is None else reason in str(found)
    chosen = ledger.best([better, line(1)])
    assert chosen is not None and chosen["trial"] == (0 if reason is None else 1)
