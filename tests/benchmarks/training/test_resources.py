import torch

from benchmarks.training.resources import Meter, PeakMemory


def test_the_peak_keeps_what_was_held_for_a_moment() -> None:
    memory = PeakMemory(torch.device("cpu"))
    before = memory.bytes()
    held = torch.ones(32 << 20)  # 128 MiB
    del held
    assert memory.bytes() - before > 100 << 20


def test_time_and_memory_add_up_over_sessions() -> None:
    meter = Meter(torch.device("cpu"))
    first = meter.state_dict()
    assert first["sessions"] == 1 and first["peak_memory_bytes"] > 10_000_000
    again = Meter(torch.device("cpu"))
    again.load_state_dict({"total_seconds": 1000.0, "peak_memory_bytes": 10**15, "sessions": 2})
    second = again.state_dict()
    assert second["total_seconds"] > 1000 and second["peak_memory_bytes"] == 10**15 and second["sessions"] == 3
