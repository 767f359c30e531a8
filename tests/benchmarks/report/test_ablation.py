"""The table of a method beside its controls."""

import csv
from pathlib import Path

import pytest
from canned_runs import ACTIVITY, CannedRuns

from benchmarks.errors import UserError
from benchmarks.report.ablation import write_ablation

CONTROLS = {"ee_random": "the choice of the hardest points"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict[str, str]]]:
    """What is printed, and the rows of the csv file, of a loss with the control and one without it."""
    runs, out = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("out")
    canned = CannedRuns(runs)
    for seed in range(3):
        shift = 0.01 * seed
        for loss in ("triplet", "contrastive"):
            canned.write(loss, "none", seed=seed, map_at_r=0.5 + shift, cost__seconds_per_step=0.01)
            active = {**ACTIVITY, "synthetic_share": 0.75}
            canned.write(
                loss,
                "ee",
                seed=seed,
                map_at_r=0.56 + 2 * shift,
                cost__seconds_per_step=0.02,
                controls=CONTROLS,
                method_activity=active,
            )
        active = {**ACTIVITY, "synthetic_share": 0.5}
        canned.write(
            "triplet",
            "ee_random",
            seed=seed,
            map_at_r=0.52 + shift,
            cost__seconds_per_step=0.015,
            method_activity=active,
        )
    printed = list(write_ablation(runs, out, "ee"))
    assert printed[1:] == [str(out / "ablation.md"), str(out / "ablation.csv")]
    assert printed[0] in Path(printed[1]).read_text()
    return printed[0], list(csv.DictReader(Path(printed[2]).read_text().splitlines()))


def test_the_method_is_compared_with_the_baseline_and_with_each_control(
    files: tuple[str, list[dict[str, str]]],
) -> None:
    printed, rows = files
    assert [(row["loss"], row["method"]) for row in rows] == [("triplet", name) for name in ("none", "ee_random", "ee")]
    # 6, 7, 8 points above the baseline and 4, 5, 6 above the control
    assert [float(row["method_adds_points"] or "nan") for row in rows[:2]] == pytest.approx([7, 5])
    assert rows[2]["method_adds_points"] == "" and "all of it" in printed and CONTROLS["ee_random"] in printed


def test_cost_and_share_of_points_stand_beside_it(files: tuple[str, list[dict[str, str]]]) -> None:
    _, rows = files
    assert [float(row["milliseconds_per_step"]) for row in rows] == pytest.approx([10, 15, 20])
    assert [row["step_time_of_baseline"] for row in rows] == ["", "1.5", "2"]
    assert [row["synthetic_share"] for row in rows] == ["", "0.5", "0.75"]


def test_lines_are_of_equal_length(files: tuple[str, list[dict[str, str]]]) -> None:
    assert len({len(line) for line in files[0].splitlines()}) == 1


def test_runs_without_a_control_are_refused(tmp_path: Path) -> None:
    canned = CannedRuns(tmp_path / "runs")
    for method in ("none", "ee"):
        canned.write("triplet", method)
    with pytest.raises(UserError, match="no run of ee beside a run of one of its controls"):
        list(write_ablation(tmp_path / "runs", tmp_path, "ee"))
