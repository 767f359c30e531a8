import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.jobs.executors.local import run_all, visible_gpus

DIE = "__import__('os')._exit(3)"


@pytest.mark.slow
def test_tasks_that_raise_or_kill_their_process_leave_the_others_alone() -> None:
    tasks = ["1 + 1", "1 / 0", DIE, "2 + 2", DIE, "3 + 3"]
    outcomes = dict(run_all(eval, tasks, workers=2))
    assert sorted(outcomes) == [0, 1, 2, 3, 4, 5]
    assert [outcomes[task] for task in (0, 3, 5)] == [None, None, None]
    assert "ZeroDivisionError" in outcomes[1]
    assert outcomes[2] == outcomes[4] == "the worker process died with exit code 3"


def test_a_process_serves_many_tasks() -> None:
    count = "__import__('sys').__dict__.setdefault('seen', []).append(1) or 1 / (len(__import__('sys').seen) - 3)"
    outcomes = list(run_all(eval, [count] * 4, workers=1))
    assert [outcome.error is None for outcome in outcomes] == [True, True, False, True]


def test_nothing_to_do_needs_no_process() -> None:
    assert list(run_all(eval, [], workers=2)) == []


@pytest.mark.slow
def test_leaving_early_ends_the_processes() -> None:
    outcomes = run_all(eval, ["1 + 1", "__import__('time').sleep(600)"], workers=2)
    assert next(outcomes).error is None
    outcomes.close()
    assert not multiprocessing.active_children()


def soon(happens: Callable[[], bool]) -> bool:
    return any(happens() or time.sleep(0.2) for _ in range(150))


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_workers_end_with_a_parent_that_is_killed(end: str, tmp_path: Path) -> None:
    pulse = tmp_path / "pulse"
    beat = f"import time\nwhile True:\n open({str(pulse)!r}, 'a').write('.')\n time.sleep(0.05)"
    code = f"from benchmarks.jobs.executors.local import run_all; list(run_all(exec, [{beat!r}], workers=1))"
    parent = subprocess.Popen([sys.executable, "-c", code])
    assert soon(pulse.exists)
    getattr(parent, end)()
    parent.wait()

    def has_stopped() -> bool:
        before = pulse.stat().st_size
        time.sleep(1)
        return pulse.stat().st_size == before

    assert soon(has_stopped)


def sees(gpu: str) -> str:
    return f"1 / (__import__('os').environ['CUDA_VISIBLE_DEVICES'] == {gpu!r})"


@pytest.mark.slow
def test_processes_get_the_gpus_in_turn() -> None:
    outcomes = run_all(eval, [sees("3"), sees("5"), sees("3")], workers=3, gpus=["3", "5"])
    assert [outcome.error for outcome in outcomes] == [None, None, None]


@pytest.mark.slow
def test_a_process_in_place_of_a_dead_one_gets_its_gpu() -> None:
    outcomes = dict(run_all(eval, [DIE, sees("3"), sees("5")], workers=1, gpus=["3", "5"]))
    assert outcomes[1] is None and "ZeroDivisionError" in outcomes[2]


@pytest.mark.parametrize(
    ("given", "count", "names"),
    [(None, 2, ["0", "1"]), ("2,5", 2, ["2", "5"]), ("GPU-abc, 7", 2, ["GPU-abc", "7"]), (None, 0, []), ("", 0, [])],
)
def test_names_are_those_that_this_process_was_given(
    given: str | None, count: int, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert visible_gpus() == names
