import csv
import json

import pytest
from forked import server

from benchmarks.cli.speed import main
from benchmarks.errors import UserError

SMALL = ["data.num_classes=80", "data.image_size=16", "protocol=smoke", "quiet=true"]


@pytest.fixture
def forked(monkeypatch):
    """The processes that train at once need not import torch each."""
    monkeypatch.setattr("benchmarks.profiling.speed.get_context", lambda _: server())


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_the_pieces_are_timed_side_by_side_and_written(tmp_path, capsys):
    pairs = ["--pairs", "multi_similarity/none", "multi_similarity/iaa"]
    sizes = ["--batch", "16", "--packed", "2", "--evaluate", "200", "8", "4", "--steps", "1", "--rounds", "1"]
    assert main([*SMALL, *pairs, *sizes, "--features", "6", "--out", str(tmp_path)]) == 0
    with (tmp_path / "speed.csv").open() as file:
        rows = {row["piece"]: row for row in csv.DictReader(file)}
    assert list(rows) == [
        "trunk and head alone", "images alone", "multi_similarity", "multi_similarity + iaa",
        "multi_similarity in 2 processes", "evaluation, 8 numbers each",
    ]  # fmt: skip
    assert all(float(row["images_per_second"]) > 0 for row in rows.values())
    assert float(rows["multi_similarity"]["flops_per_image"]) > 0
    with (tmp_path / "step_counts.csv").open() as file:
        asked = {row["step"]: int(row["waits"]) for row in csv.DictReader(file)}
    assert asked["multi_similarity"] > asked["multi_similarity + iaa"]
    assert json.loads((tmp_path / "environment.json").read_text())["roofline"]["flops"] > 0
    assert (tmp_path / "speed.png").stat().st_size > 0
    printed = capsys.readouterr().out
    assert (tmp_path / "speed.md").read_text() in printed
    assert "| multi_similarity + iaa | 16 |" in printed
    assert "| multi_similarity + iaa | 6 |" in printed and "share of the plain loop" in printed
    with (tmp_path / "feature_steps.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["multi_similarity", "multi_similarity + iaa"]


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_random_images_stand_in_for_data(tmp_path):
    pairs = ["--pairs", "normalized_softmax/none", "--random", "16"]
    sizes = ["--batch", "8", "--packed", "1", "--evaluate", "100", "8", "4", "--steps", "1", "--rounds", "1"]
    assert main([*SMALL, *pairs, *sizes, "--features", "--out", str(tmp_path)]) == 0
    assert "normalized_softmax" in (tmp_path / "speed.csv").read_text()


@pytest.mark.parametrize("option", ["--steps", "--rounds", "--random", "--batch", "--packed", "--features"])
def test_a_number_below_one_is_refused(option):
    with pytest.raises(UserError, match=f"{option} must be at least 1"):
        main([option, "0"])


def test_an_unknown_pair_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="proxy_anchor"):
        main(["--pairs", "proxy_ancor/ps"])
