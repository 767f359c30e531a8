import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_metric_learning.utils.inference import InferenceModel
from safetensors.torch import load_file, save_file
from tiny_runs import run_tiny

from benchmarks.config.compose import compose
from benchmarks.data import load
from benchmarks.data.split import class_disjoint_split
from benchmarks.errors import UserError
from benchmarks.models import load_model


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    """The run, to be damaged; without its done mark, as an exported model."""
    for name in ("model.json", "model.safetensors"):
        shutil.copy(run / name, tmp_path)
    return tmp_path


def test_a_loaded_model_gives_the_embeddings_of_its_run(run: Path) -> None:
    model, kept = load_model(run), np.load(run / "embeddings.npy")
    data = load(compose(["data.num_classes=24", "data.image_size=12"])[0].data)
    test = class_disjoint_split(data.labels, 0, 4).test
    assert model.transform is not None and isinstance(data.images, np.ndarray)
    levels = torch.stack([model.transform(image) for image in data.images[test]])
    assert torch.equal(levels.movedim(1, -1), torch.from_numpy(data.images[test]))
    np.testing.assert_array_equal(model(levels).detach().numpy(), kept)


def test_a_model_of_features_standardises_them_as_its_run_did(features: Path) -> None:
    model, kept = load_model(features), np.load(features / "embeddings.npy")
    rows = np.load(features.parent / "rows.npz")["features"]
    assert model.transform is None
    # the second half of the classes is the test set; rounding of another batch size
    np.testing.assert_allclose(model(torch.from_numpy(rows[48:])).detach().numpy(), kept, atol=1e-6)


def test_it_works_in_the_inference_model_of_pml(run: Path, tmp_path: Path) -> None:
    model = load_model(run)
    levels = torch.randint(256, (6, 1, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    searching = InferenceModel(model, data_device="cpu")
    searching.train_knn(levels, batch_size=4)
    distances, found = searching.get_nearest_neighbors(levels[2:4], k=1)
    assert found.flatten().tolist() == [2, 3]
    torch.testing.assert_close(distances, torch.zeros(2, 1), atol=1e-5, rtol=0)  # squared distances, rounded


def test_idml_gives_uncertainties_on_request_and_other_models_refuse(introspective: Path, run: Path) -> None:
    model = load_model(introspective)
    levels = torch.randint(256, (5, 1, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    embeddings, uncertainty = model(levels, with_uncertainty=True)
    assert torch.equal(embeddings, model(levels)) and model.has_uncertainty
    assert uncertainty.shape == (5,) and uncertainty.min() > 0 and uncertainty.max() < 1  # the head bounds them
    torch.testing.assert_close(model.train()(levels).norm(dim=1), torch.ones(5))
    assert not load_model(run).has_uncertainty
    with pytest.raises(UserError, match="method=none has no introspective head"):
        load_model(run)(levels, with_uncertainty=True)


def test_loading_leaves_the_random_numbers_of_the_caller_alone(run: Path) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_model(run)
    assert torch.equal(torch.rand(3), expected)


def test_an_image_of_any_kind_is_brought_into_the_form_of_the_training(run: Path, tmp_path: Path) -> None:
    transform = load_model(run).transform
    assert transform is not None
    picture = Image.new("RGBA", (40, 24), (10, 10, 10, 255))
    picture.save(tmp_path / "picture.png")
    for image in (picture, tmp_path / "picture.png", str(tmp_path / "picture.png"), np.full((9, 7), 10, np.uint8)):
        assert torch.equal(transform(image), torch.full((1, 12, 12), 10, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"uint8 of shape .* but is float64"):
        transform(np.zeros((4, 4)))


def test_a_directory_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run"):
        load_model(tmp_path)
    with pytest.raises(UserError, match="is no directory"):
        load_model(tmp_path / "none")
    kept_nothing = run_tiny(tmp_path, "keep=nothing", "protocol.epochs=1")
    with pytest.raises(UserError, match="keep=weights"):
        load_model(kept_nothing)


def test_damaged_or_foreign_weights_are_refused(copied: Path) -> None:
    weights = load_file(copied / "model.safetensors")
    content = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match="sha256 differs"):
        load_model(copied)
    weights.pop("embedder.bias")
    save_file(weights, copied / "model.safetensors")
    edit(copied, sha256=sha256(copied / "model.safetensors"))
    with pytest.raises(UserError, match="does not fit the model.*embedder.bias"):
        load_model(copied)
    (copied / "model.safetensors").unlink()
    with pytest.raises(UserError, match="is missing"):
        load_model(copied)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trunk": {"name": "x", "network": {"_target_": "os.system", "command": "touch /tmp/never"}}}, "not allowed"),
        ({"head": {"_target_": "builtins.exec"}}, "not allowed"),
        ({"images": {"channels": 1, "fit": None, "short_side": None, "upright": True,
                     "transform": {"_target_": "numpy.savetxt"}}}, "not allowed"),
        ({"version": 99}, "layout 99"),
        ({"embedding_size": "8"}, "embedding_size must be a whole number"),
        ({"images": None}, "one of the two must be described"),
    ],
)  # fmt: skip
def test_a_hostile_or_unknown_description_is_refused(copied: Path, change: dict[str, object], message: str) -> None:
    edit(copied, **change)
    with pytest.raises(UserError, match=message):
        load_model(copied)


def test_a_description_changed_after_the_end_of_the_run_is_refused(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / run.name
    shutil.copytree(run, copy)
    edit(copy, epoch=7)
    with pytest.raises(UserError, match="changed since the run ended"):
        load_model(copy)


def test_published_weights_are_neither_read_nor_fetched_again(copied: Path) -> None:
    pytest.importorskip("timm")
    network = {"_target_": "benchmarks.trunks.timm_networks.timm_network", "model": "test_resnet.r160_in1k"}
    edit(copied, trunk={"name": "timm", "network": {**network, "weights": "pretrained", "download": True}})
    with pytest.raises(UserError, match="does not fit the model"):  # it was built, without any file
        load_model(copied)


def edit(directory: Path, **changed: object) -> None:
    described = json.loads((directory / "model.json").read_text())
    (directory / "model.json").write_text(json.dumps(described | changed))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
