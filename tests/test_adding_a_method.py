"""A method added by the recipe in CONTRIBUTING, in a package of its own, runs through ``run`` and a report."""

import csv
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.config.compose import options_of

MODULE = '''
import torch
from pml_aug.wrappers import LossWrapper


class Jitter(LossWrapper):
    """The wrapped loss on the batch and a noisy copy of each embedding, with noise of standard deviation `scale`."""

    off = {"scale": 0.0}

    def __init__(self, loss, miner=None, scale=0.1):
        super().__init__(loss, miner)
        self.scale = scale
        self.num_synthetic = 0
        self.add_to_recordable_attributes(name="num_synthetic", is_stat=True)
        self.fix_attributes()

    def wrapped(self, batch, generator=None):
        embeddings, labels = batch[:2]
        if self.scale == 0:
            return self.loss(embeddings, labels)
        self.num_synthetic = len(embeddings)
        noise = torch.randn(embeddings.shape, generator=generator, device=embeddings.device, dtype=embeddings.dtype)
        both = torch.cat([embeddings, embeddings + self.scale * noise])
        return self.loss(both, labels.repeat(2), None if self.miner is None else self.miner(both, labels.repeat(2)))
'''
CONFIG = "name: jitter\nwrapper:\n  _target_: toy_method.Jitter\n  scale: 0.05\n"
TINY = ["loss=multi_similarity", "protocol=smoke", "trunk=small_cnn", "data.num_classes=80", "data.image_size=16"]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the module and the config of a method."""
    (tmp_path / "toy_method.py").write_text(MODULE)
    (tmp_path / "configs" / "method").mkdir(parents=True)
    (tmp_path / "configs" / "method" / "jitter.yaml").write_text(CONFIG)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PML_AUG_CONFIGS", str(tmp_path / "configs"))
    return tmp_path


@pytest.mark.slow
def test_a_module_and_a_config_make_a_method(toy: Path) -> None:
    runs = toy / "runs"
    for method in ("none", "jitter"):
        command = ["run", *TINY, f"method={method}", f"runs={runs}", "quiet=true", "--allow", "toy_method"]
        assert main(command) == 0
    assert main(["report", str(runs), "--out", str(toy / "report")]) == 0
    with open(toy / "report" / "comparisons.csv", newline="") as file:
        compared = {(row["loss"], row["method"]) for row in csv.DictReader(file)}
    assert compared == {("multi_similarity", "jitter")}
    assert "jitter" in (toy / "report" / "report.html").read_text().lower()


def test_its_code_runs_only_if_it_is_allowed(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "jitter" in options_of("method")
    assert main(["run", *TINY, "method=jitter", f"runs={toy / 'runs'}"]) == 2
    assert "toy_method.Jitter is not allowed" in capsys.readouterr().err
    assert not (toy / "runs").exists()


def test_a_config_with_the_name_of_another_is_refused(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (toy / "configs" / "method" / "ee.yaml").write_text(CONFIG)
    assert main(["run", *TINY, "method=ee"]) == 2
    assert "ee.yaml has the name of" in capsys.readouterr().err


def test_a_missing_directory_of_configs_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PML_AUG_CONFIGS", "nowhere")
    assert main(["run", *TINY]) == 2
    assert "PML_AUG_CONFIGS" in capsys.readouterr().err


def test_configs_are_found_by_option_and_in_the_working_directory(
    toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", "--cfg", "method=jitter", "--allow", "toy_method"]
    monkeypatch.setenv("PML_AUG_CONFIGS", "")
    assert main(command) == 2
    assert "unknown method 'jitter'" in capsys.readouterr().err
    assert main([*command, "--config-dir", str(toy / "configs")]) == 0
    monkeypatch.setenv("PML_AUG_CONFIGS", "")
    monkeypatch.chdir(toy)
    assert main(command) == 0
    assert "toy_method.Jitter" in capsys.readouterr().out
