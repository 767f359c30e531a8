from typing import Any

from benchmarks.profiling.goals import goals, goals_table


def step(piece: str, batch: int, speed: float, variant: str = "float32", kind: str = "step") -> dict[str, Any]:
    return {"kind": kind, "piece": piece, "batch": batch, "variant": variant, "images_per_second": speed}


ROWS = [
    step("multi_similarity", 128, 4000.0),
    step("multi_similarity", 128, 6000.0, "channels_last"),
    step("multi_similarity + ee", 128, 5940.0, "channels_last"),
    step("proxy_anchor", 128, 6000.0, "channels_last"),
    step("proxy_anchor + ps", 128, 5000.0, "channels_last"),
    step("multi_similarity", 32, 2000.0, "channels_last"),
    step("multi_similarity + ee", 32, 1990.0, "channels_last"),
    step("multi_similarity in 2 processes", 32, 2500.0, "channels_last", "packed"),
    {"kind": "neighbors", "rows": 60_502, "dimension": 512, "k": 8, "seconds": 0.25},
    {"kind": "machine"},
]


def test_each_goal_stands_beside_the_best_that_was_measured() -> None:
    large, packed, small_wrapped, large_wrapped, neighbors = goals(ROWS)
    assert (large.measured, large.is_met, large.where) == (6000.0, True, "multi_similarity, batch 128, channels_last")
    assert (packed.measured, packed.is_met) == (2500.0, False)
    assert small_wrapped.measured == 2000 / 1990 and small_wrapped.is_met
    assert large_wrapped.measured == 6000 / 5000 and not large_wrapped.is_met
    assert large_wrapped.where == "worst: proxy_anchor + ps"
    assert neighbors.measured == 0.25 and neighbors.is_met
    assert "| seconds for the exact neighbours | at most 0.5 | 0.250 | yes | 60,502 x 512, the nearest 8 |" in (
        goals_table(goals(ROWS))
    )


def test_what_was_not_measured_is_neither_reached_nor_missed() -> None:
    found = goals([])
    assert [goal.is_met for goal in found] == [None] * 4
    assert goals_table(found).count("| - | not measured |  |") == 4
