import os
import time
from collections.abc import Callable
from pathlib import Path

import limited_functions
import pytest

from benchmarks.profiling.limited import DONE, FAILED, KILLED, LEFT_OUT, Ended, read_rows, run_limited


def run(function: Callable, tmp_path: Path, seconds: float = 30, *arguments: object) -> tuple[Ended, list[dict]]:
    ended = run_limited(function, arguments, seconds, tmp_path / "rows", tmp_path / "log")
    return ended, read_rows(tmp_path / "rows")


def test_rows_and_prints_end_in_their_files(tmp_path: Path) -> None:
    ended, rows = run(limited_functions.counts, tmp_path, 30, 3)
    assert ended.status == DONE and rows == [{"number": 0}, {"number": 1}, {"number": 2}]
    assert (tmp_path / "log").read_text().split() == ["at", "0", "at", "1", "at", "2"]


def test_at_the_limit_it_is_killed_with_its_children_and_keeps_its_rows(tmp_path: Path) -> None:
    ended, ((row), *others) = run(limited_functions.sleeps_with_a_child, tmp_path, 3)
    assert ended.status == KILLED and ended.reason == "not done after 3 s" and not others
    state = Path(f"/proc/{row['child']}/stat")
    for _ in range(50):  # until its new parent has noticed
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.02)
    os.kill(row["child"], 9)
    raise AssertionError("the child lives on")


@pytest.mark.parametrize(
    ("function", "status", "reason"),
    [
        (limited_functions.fails, FAILED, "RuntimeError: no luck"),
        (limited_functions.dies, FAILED, "the process died with exit code 3"),
        (limited_functions.cannot, LEFT_OUT, "there is no sun"),
    ],
)
def test_an_end_has_its_reason_and_leaves_the_rows_before(
    function: Callable, status: str, reason: str, tmp_path: Path
) -> None:
    ended, rows = run(function, tmp_path)
    assert ended[:2] == (status, reason)
    assert rows == ([] if status == LEFT_OUT else [{"number": 1}])


def test_a_line_that_was_cut_off_is_no_row(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text('{"number": 1}\n{"numb')
    assert read_rows(tmp_path / "rows") == [{"number": 1}]
    assert read_rows(tmp_path / "none") == []
