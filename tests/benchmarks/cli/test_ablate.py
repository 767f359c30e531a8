"""``ablate``: what it lists, trains and writes."""

from pathlib import Path

import pytest
from tiny_training import TINY

from benchmarks.__main__ import main

TINY_RUNS = [*TINY, "suite=smoke", "protocol.iterations_per_epoch=2", "protocol.epochs=2", "losses=[triplet]"]


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_a_dry_run_lists_the_controls_and_a_run_compares_with_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["ablate", "ee", *TINY_RUNS, "seeds=[0]", "workers=1", "quiet=true", f"runs={tmp_path}"]
    assert main([*command, "--dry-run"]) == 0
    listed = capsys.readouterr().out
    assert "ee_random  lacks the choice of the hardest points (wrapper.select=random)" in listed
    assert not list(tmp_path.iterdir())
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "EE adds" in printed and "| EE random" in printed and (tmp_path / "report" / "ablation.csv").exists()


def test_a_method_without_controls_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ablate", "mixup", "losses=[triplet]"]) == 2
    assert "method=mixup names no control" in capsys.readouterr().err
