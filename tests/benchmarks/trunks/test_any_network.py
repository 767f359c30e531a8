import hashlib
import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.trunks.preprocessed import Preprocessed
from benchmarks.trunks.timm_networks import timm_network
from benchmarks.trunks.torchvision_networks import torchvision_network
from benchmarks.trunks.weights import download_published

needs_timm = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="needs the extra `pretrained`")


def test_only_images_of_another_size_are_resampled() -> None:
    trunk = Preprocessed(nn.Flatten(), (4, 4), mean=[0.5, 0.25, 0.0], std=[0.5, 0.5, 0.25])
    images = torch.rand(2, 3, 4, 4)
    expected = (images - torch.tensor([0.5, 0.25, 0.0])[:, None, None]) / torch.tensor([0.5, 0.5, 0.25])[:, None, None]
    assert torch.equal(trunk(images), expected.flatten(1))
    assert trunk(torch.rand(2, 3, 9, 7)).shape == (2, 48)


def test_bicubic_resampling_stays_between_black_and_white() -> None:
    trunk = Preprocessed(nn.Flatten(), (8, 8), mean=[0.0] * 3, std=[1.0] * 3, interpolation="bicubic")
    edge = torch.zeros(1, 1, 4, 4)
    edge[..., 2:] = 1
    values = trunk(edge)
    assert values.min() == 0 and values.max() == 1 and values.shape == (1, 3 * 64)


def test_the_state_dict_of_a_trunk_holds_its_weights_only() -> None:
    trunk = Preprocessed(nn.Linear(3, 2), (1, 1), mean=[0.0] * 3, std=[1.0] * 3)
    assert set(trunk.state_dict()) == {"network.weight", "network.bias"}


@pytest.mark.slow
@needs_timm
def test_a_timm_trunk_gives_the_features_before_timms_classifier(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(3)
    whole = timm.create_model("test_vit", pretrained=False).eval()
    file = tmp_path / "weights.pth"
    torch.save(whole.state_dict(), file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    trunk = timm_network("test_vit", weights=str(file), sha256=sha256).eval()
    side = whole.pretrained_cfg["input_size"][1]
    images = torch.rand(2, 3, side, side)
    mean, std = (torch.tensor(whole.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        features = trunk(images)
        assert torch.equal(whole.head(features), whole((images - mean) / std))
    with pytest.raises(ValueError, match="sha256 that starts with ffff"):
        timm_network("test_vit", weights=str(file), sha256="ffff")


@needs_timm
def test_another_networks_weights_are_refused(tmp_path: Path) -> None:
    import timm

    torch.save(timm.create_model("test_resnet", pretrained=False).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="timm cannot build test_vit: .*Missing key"):
        timm_network("test_vit", weights=str(tmp_path / "weights.pth"))


@needs_timm
def test_timms_size_and_pooling_can_be_chosen() -> None:
    by_token = timm_network("test_vit", weights=None)
    smaller = timm_network("test_vit", weights=None, image_size=64, pooling="avg")
    assert by_token.image_size != (64, 64) == smaller.image_size
    assert by_token.network.global_pool != smaller.network.global_pool == "avg"
    assert smaller.eval()(torch.rand(2, 1, 20, 20)).shape == by_token.eval()(torch.rand(2, 1, 20, 20)).shape


@needs_timm
def test_published_weights_are_read_from_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub
    import timm

    torch.manual_seed(4)
    whole = timm.create_model("test_resnet", pretrained=False)
    torch.save(whole.state_dict(), tmp_path / "pytorch_model.bin")

    def cached(repository: str, name: str, revision: str | None = None) -> str | None:
        assert repository == "timm/test_resnet.r160_in1k"
        return str(tmp_path / name) if (tmp_path / name).exists() else None

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    trunk = timm_network("test_resnet.r160_in1k")
    assert torch.equal(trunk.network.conv1[0].weight, whole.conv1[0].weight)


@needs_timm
def test_without_cached_weights_the_file_and_its_place_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError) as missing:
        timm_network("vit_small_patch14_dinov2.lvd142m")
    said = str(missing.value)
    assert "model.safetensors of https://huggingface.co/timm/vit_small_patch14_dinov2.lvd142m" in said
    assert str(tmp_path / "hub") in said and "trunk.network.weights=FILE" in said


@needs_timm
@pytest.mark.parametrize(
    ("model", "said"),
    [
        (None, "trunk.network.model=resnet18.a1_in1k"),
        ("resnet19", "unknown timm model 'resnet19'; the nearest known one is 'resnet18'"),
        ("resnet18.a1_in2k", "unknown weights of timm 'resnet18.a1_in2k'; the nearest known one is 'resnet18.a1_in1k'"),
        ("test_mambaout_none", "unknown timm model"),
    ],
)
def test_an_unknown_timm_model_is_refused(model: str | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        timm_network(model, weights=None)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["resnet18", "mobilenet_v3_small", "densenet121"])
def test_a_torchvision_trunk_gives_the_features_before_the_classifier(model: str, tmp_path: Path) -> None:
    from torchvision import models

    whole = models.get_model(model).eval()
    torch.save(whole.state_dict(), tmp_path / "weights.pth")
    trunk = torchvision_network(model, weights=str(tmp_path / "weights.pth")).eval()
    last = [layer for layer in whole.modules() if isinstance(layer, nn.Linear)][-1]
    preprocessing = models.get_model_weights(model).DEFAULT.transforms()
    images = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        shown = (images - torch.tensor(preprocessing.mean)[:, None, None]) / torch.tensor(preprocessing.std)[
            :, None, None
        ]
        torch.testing.assert_close(last(trunk(images)), whole(shown))


def test_older_names_in_published_densenets_are_read(tmp_path: Path) -> None:
    from torchvision import models

    whole = models.densenet121()
    older = {
        name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): tensor
        for name, tensor in whole.state_dict().items()
    }
    assert set(older) != set(whole.state_dict())
    torch.save(older, tmp_path / "weights.pth")
    trunk = torchvision_network("densenet121", weights=str(tmp_path / "weights.pth"))
    layer = "features.denseblock1.denselayer1.conv2"
    assert torch.equal(trunk.network.get_submodule(layer).weight, whole.get_submodule(layer).weight)


@pytest.mark.slow
def test_inner_classifiers_of_a_file_are_left_out_and_not_trained(tmp_path: Path) -> None:
    from torchvision.models import GoogLeNet

    whole = GoogLeNet(aux_logits=True, init_weights=False).eval()
    torch.save(whole.state_dict(), tmp_path / "weights.pth")
    trunk = torchvision_network("googlenet", weights=str(tmp_path / "weights.pth"))
    images = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(whole.fc(trunk.eval()(images)), whole(images * 2 - 1))
        assert trunk.train()(images).shape == (2, 1024)
    assert not [name for name, _ in trunk.named_parameters() if "aux" in name]


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({}, ValueError, "trunk.network.model=resnet18"),
        ({"model": "resnt18"}, ValueError, "unknown torchvision model 'resnt18'; the nearest known one is 'resnet18'"),
        ({"model": "squeezenet1_1", "weights": None}, ValueError, "squeezenet1_1 has no linear classifier"),
        ({"model": "resnet18", "weights": "/nowhere.pth"}, FileNotFoundError, "/nowhere.pth is no file"),
        ({"model": "resnet18"}, FileNotFoundError, "resnet18-f37072fd.pth"),
    ],
)
def test_what_torchvision_cannot_build_is_refused(
    settings: dict[str, str], error: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(error, match=said):
        torchvision_network(**settings)


def test_a_download_is_checked_against_the_digits_in_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    content = b"weights"
    digits = hashlib.sha256(content).hexdigest()[:8]
    right, wrong = tmp_path / f"net-{digits}.pth", tmp_path / "net-00000000.pth"
    for file in (right, wrong):
        file.write_bytes(content)
    assert download_published(right.as_uri()).read_bytes() == content
    right.unlink()
    assert download_published(right.as_uri()).read_bytes() == content  # it is there already
    with pytest.raises(ValueError, match="invalid hash value"):
        download_published(wrong.as_uri())
