"""A training killed at any moment and started again ends as one never interrupted, bit for bit."""

import killed_trainings
import pytest
from forked import lines_of

pytestmark = pytest.mark.slow
FAILPOINTS = [
    ("iaa_ps", [("half a file", 2), ("before replace", 1), ("after replace", 3)]),  # config, environment, checkpoint
    ("iaa_ps", [("before replace", 3), ("half a file", 3)]),  # before a checkpoint has its name
    ("iaa_ps", [("half a transaction", 30), ("deleting", 5)]),  # then while the records are put back
    ("memory", [("after replace", 3), ("half a transaction", 8), ("half a file", 4)]),
    ("memory", [("before replace", 12), ("before replace", 8)]),  # result.json is there, and no mark
    ("memory", [("after replace", 12)]),  # the mark is there, and the checkpoints still
    ("idml", [("half a file", 9)]),
]


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    return lines_of(killed_trainings.main, tmp_path_factory.mktemp("runs"), 0, 3, FAILPOINTS)


def test_killed_trainings_end_as_if_they_had_not_been(trials: list[dict]) -> None:
    assert len(trials) == 3 + len(FAILPOINTS)
    assert {str(trial): trial["differences"] for trial in trials if trial["differences"]} == {}


def test_they_were_killed_early_and_late(trials: list[dict]) -> None:
    seen = {where for trial in trials for where in trial["seen"]}
    assert {"0 checkpoints", "1 checkpoints", "2 checkpoints"} <= seen
    assert {"2 checkpoints+result.json", "2 checkpoints+result.json+done"} <= seen
    assert sum(len(trial["seen"]) for trial in trials) >= 15
