import torch

from benchmarks.engine.cost import PeakMemory


def test_the_peak_keeps_what_was_held_for_a_moment() -> None:
    memory = PeakMemory(torch.device("cpu"))
    before = memory.bytes()
    held = torch.ones(32 << 20)  # 128 MiB
    del held
    assert memory.bytes() - before > 100 << 20
