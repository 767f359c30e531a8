"""The cost command measures real pieces and leaves a table and a figure."""

import csv
import json

import pytest

from benchmarks.__main__ import main
from benchmarks.profiling.cost import GROWTH, cost_table, measure
from benchmarks.profiling.cost_cases import CASES
from benchmarks.profiling.loss_steps import Size

SMALL = Size(batch=16, classes=8, dimension=16)


@pytest.mark.parametrize("piece", CASES, ids=lambda piece: piece.name)
def test_every_row_shows_the_ratio_of_its_times_and_the_same_counts_each_time(piece):
    row, again = (measure(piece, SMALL, rounds=1, warm_up=0) for _ in range(2))
    assert row["time_ratio"] == row["augmented_ms"] / row["baseline_ms"] > 0
    counts = ("kernels_added", "waits_added", "waits_added_labels_on_device")
    assert [row[key] for key in counts] == [again[key] for key in counts]
    assert f"| {piece.name} | {row['baseline_ms']:.2f} | {row['augmented_ms']:.2f} |" in cost_table([row])


def test_the_command_writes_table_figure_and_environment(tmp_path, capsys):
    assert main(["cost", "--only", "2 points", "--no-growth", "--rounds", "1", "--out", str(tmp_path)]) == 0
    assert "| EE, 2 points + hardest triplet |" in capsys.readouterr().out
    with (tmp_path / "cost.csv").open() as file:
        assert [row["piece"] for row in csv.DictReader(file)] == ["EE, 2 points + hardest triplet"]
    assert json.loads((tmp_path / "environment.json").read_text())["device"] == "cpu"
    assert (tmp_path / "cost.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_growth_changes_one_quantity_at_a_time(tmp_path, monkeypatch):
    for quantity, values in {"batch": (16, 32, 128), "dimension": (16, 32, 512)}.items():
        monkeypatch.setitem(GROWTH, quantity, values)
    main(["cost", "--only", "8 points + hardest", "--rounds", "1", "--out", str(tmp_path)])
    with (tmp_path / "cost.csv").open() as file:
        sizes = [(row["batch"], row["dimension"]) for row in csv.DictReader(file)]
    assert sizes == [("128", "512"), ("16", "512"), ("32", "512"), ("128", "16"), ("128", "32")]
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    lines = (tmp_path / "cost.md").read_text().splitlines()
    assert [line.count(";") for line in lines if line.startswith(("| batch |", "| dimension |"))] == [2, 2]


def test_without_growth_no_figure_of_it_is_drawn(tmp_path):
    main(["cost", "--only", "512 rows", "--no-growth", "--rounds", "1", "--out", str(tmp_path)])
    assert not (tmp_path / "growth.png").exists()


@pytest.mark.parametrize("kind", ["PS", "IAA, 3"])
def test_on_an_accelerator_the_host_waits_no_more_than_for_the_baseline_loss(kind):
    for piece in CASES:
        if piece.name.startswith(kind):
            row = measure(piece, SMALL, rounds=1, warm_up=0)
            assert row["waits_added"] <= 0 and row["waits_added_labels_on_device"] <= 0
            assert row["enlarged_ratio"] > 0


def test_a_piece_that_is_not_there_is_refused_with_the_list(capsys):
    assert main(["cost", "--only", "quantum"]) == 2
    assert "--only quantum matches none of: EE, 2 points" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--device", "foo"], "device=foo cannot be used: Expected one of cpu, cuda"),
        (["--rounds", "0"], "--rounds must be at least 1, but got 0"),
    ],
)
def test_what_cannot_be_measured_with_is_refused(words, sentence, capsys):
    assert main(["cost", "--only", "2 points", *words]) == 2
    assert sentence in capsys.readouterr().err
