from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_training import TINY

from benchmarks.__main__ import main
from benchmarks.config.compose import compose
from benchmarks.errors import UserError
from benchmarks.models import export as module
from benchmarks.models import load_model
from benchmarks.models.export import checking_rows, export
from benchmarks.training.train import train

Said = pytest.CaptureFixture[str]


def levels(count: int) -> torch.Tensor:
    return torch.randint(256, (count, 1, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
def test_torchscript_gives_the_same_embeddings_and_uncertainties(introspective: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.pt"
    assert main(["export", str(introspective), "--format", "torchscript", "--out", str(out)]) == 0
    traced, model = torch.jit.load(out), load_model(introspective)
    for here, there in zip(model(levels(5), with_uncertainty=True), traced(levels(5)), strict=True):
        torch.testing.assert_close(there, here)


def test_an_exported_directory_is_loaded_like_a_run(run: Path, tmp_path: Path, capsys: Said) -> None:
    out = tmp_path / "model"
    assert main(["export", str(run), "--format", "safetensors", "--out", str(out)]) == 0
    assert "24 real inputs, largest difference 0" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["model.json", "model.safetensors"]
    assert torch.equal(load_model(out)(levels(3)), load_model(run)(levels(3)))
    assert main(["export", str(run), "--format", "safetensors", "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run", "introspective", "features"])
def test_onnx_gives_the_same_in_onnxruntime(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    directory, out = request.getfixturevalue(name), tmp_path / "model.onnx"
    assert main(["export", str(directory), "--out", str(out)]) == 0
    session, model = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"]), load_model(directory)
    rows = torch.ones(7, 6) * torch.arange(7)[:, None] if name == "features" else levels(7)
    expected = [model(rows)] if name != "introspective" else model(rows, with_uncertainty=True)
    found = session.run(None, {session.get_inputs()[0].name: rows.numpy()})
    for here, there in zip(expected, found, strict=True):
        np.testing.assert_allclose(there, here.detach().numpy(), atol=1e-6)
    assert '"run"' in session.get_modelmeta().custom_metadata_map["model.json"]


@pytest.mark.slow
def test_a_network_that_resamples_its_images_is_exported(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    pytest.importorskip("onnxscript")
    network = ["trunk=timm", "trunk.network.model=test_resnet.r160_in1k", "trunk.network.weights=null"]
    network += ["trunk.network.image_size=32"]
    short = ["protocol.epochs=1", "protocol.iterations_per_epoch=2", "protocol.evaluate_every=1", f"runs={tmp_path}"]
    runs = train(*compose([*(word for word in TINY if "widths" not in word), *network, *short]))
    model = load_model(runs)
    found = export(runs, model, "onnx", tmp_path / "m.onnx", checking_rows(runs, model, None))
    assert found.difference <= module.LARGEST_DIFFERENCE and found.path.exists()


def test_a_model_that_gives_something_else_there_is_not_kept(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, exported = load_model(run), module._torchscript

    def off_by(amount: float) -> Callable[..., Any]:
        def changed(*given: Any) -> Any:
            content, there = exported(*given)
            return content, lambda batch: [output + amount for output in there(batch)]

        return changed

    monkeypatch.setattr(module, "_torchscript", off_by(0.9e-4))
    assert export(run, model, "torchscript", tmp_path / "near.pt", levels(4)).path.exists()
    for amount in (1.1e-4, float("nan")):
        monkeypatch.setattr(module, "_torchscript", off_by(amount))
        with pytest.raises(UserError, match=r"differs by up to .* not kept"):
            export(run, model, "torchscript", tmp_path / "far.pt", levels(4))
    assert [path.name for path in tmp_path.iterdir()] == ["near.pt"]


def test_without_images_of_the_run_others_must_be_given(run: Path, tmp_path: Path, save: Callable[..., Path]) -> None:
    model, bare = load_model(run), tmp_path / "bare"
    assert len(checking_rows(run, model, None)) == 24
    export(run, model, "safetensors", bare, levels(2))
    with pytest.raises(UserError, match="--images FOLDER"):
        checking_rows(bare, model, None)
    save(tmp_path / "images" / "a.png")
    assert checking_rows(bare, model, tmp_path / "images").shape == (1, 1, 12, 12)


def test_features_are_checked_with_those_of_the_training(features: Path) -> None:
    assert checking_rows(features, load_model(features), None).shape == (64, 6)
