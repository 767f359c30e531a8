import pytest
import torch

from benchmarks.jobs.executors.gpus import visible_gpus


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
