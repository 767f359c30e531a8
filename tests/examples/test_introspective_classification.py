"""The classification example runs, and its two losses are what it says."""

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "introspective_classification.py"


@pytest.mark.slow
@pytest.mark.parametrize("mix", ["cutmix", "mixup", "none"])
def test_it_prints_accuracies_of_both_losses(mix, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "--mix", mix, "--seeds", "1", "--epochs", "1"])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    _, softmax, introspective, difference = capsys.readouterr().out.splitlines()
    first, second = (float(line.split(": ")[1].split(" ")[0]) for line in (softmax, introspective))
    assert softmax.startswith(f"softmax with {mix}") and introspective.startswith("introspective softmax")
    assert 0 < first < 100 and 0 < second < 100
    assert float(difference.split(": ")[1].split(" ")[0]) == pytest.approx(second - first, abs=0.11)


def test_test_images_are_in_faces_that_no_training_image_has():
    seen, unseen = runpy.run_path(str(EXAMPLE))["glyphs"]()
    assert len(seen[0]) + len(unseen[0]) == 2427
    assert len(unseen[1].unique()) > 150
    assert not {image.numpy().tobytes() for image in seen[0]} & {image.numpy().tobytes() for image in unseen[0]}
