from pathlib import Path

import pytest
from tiny_training import TINY

from benchmarks.__main__ import main
from benchmarks.data.features import read_features


@pytest.mark.slow
def test_the_command_writes_a_file_and_says_what_is_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "glyphs.npz"
    assert main(["features", *TINY, "--out", str(out), "--views", "1", "--dtype", "float16"]) == 0
    found = read_features(out)
    said = capsys.readouterr().out
    assert f"{len(found.labels):,} x 2 x 8 float16" in said and str(out) in said
    assert main(["features", *TINY, "--out", str(out)]) == 2
    assert "is there already with other views" in capsys.readouterr().err


def test_what_cannot_be_built_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["features", "trunk=torchvision", "--out", str(tmp_path / "glyphs.npz")]) == 2
    assert "trunk.network.model=resnet18" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
