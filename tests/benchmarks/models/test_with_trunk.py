"""A head that was trained on features, and the trunk that computed them, as one model of images."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.config.compose import compose
from benchmarks.errors import UserError
from benchmarks.models import load_model
from benchmarks.models.with_trunk import with_trunk
from benchmarks.training.extraction import extract, seconds_an_image
from benchmarks.training.train import train

SMALL = ["protocol.batch_size=8", "protocol.embedding_size=4", "protocol.epochs=1", "protocol.iterations_per_epoch=4"]


@pytest.mark.slow
def test_trunk_and_head_together_embed_images_as_they_do_apart(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (96, 12, 12, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", images=images, labels=np.arange(96) // 4)
    of_images = ["data=npz", f"data.path={tmp_path / 'images.npz'}", "trunk.network.widths=[4,8]", "quiet=true"]
    config, options = compose([*of_images, "device=cpu"])
    each, count = seconds_an_image(config, options)
    assert each > 0 and count == 96
    path = extract(config, options, tmp_path / "features")
    features = [f"data.path={path}", "data.drop_constant=true", "quiet=true", "device=cpu", *SMALL]
    run = train(*compose(["data=features", *features, f"runs={tmp_path / 'runs'}"]))
    apart = load_model(run)
    model = load_model(with_trunk(run, apart, config, tmp_path / "model", allow=[]))
    rows = torch.from_numpy(np.load(path / "features.npy"))
    assert model.transform is not None
    levels = torch.stack([model.transform(image) for image in images])
    torch.testing.assert_close(model(levels), apart(rows), rtol=0, atol=1e-5)
    assert model.description.data.classes == apart.description.data.classes
    with pytest.raises(UserError, match="is there already"):
        with_trunk(run, apart, config, tmp_path / "model", allow=[])


def test_features_that_take_too_long_are_continued(tmp_path: Path) -> None:
    settings = ["data.num_classes=24", "data.image_size=8", "trunk.network.widths=[4,8]", "quiet=true", "device=cpu"]
    config, options = compose(settings)
    with pytest.raises(UserError, match=r"the time is over with the features of 64 of \d+ images: the same command"):
        extract(config, options, tmp_path / "features", until=0.0)
    resumed = np.load(extract(config, options, tmp_path / "features") / "features.npy")
    at_once = np.load(extract(config, options, tmp_path / "again") / "features.npy")
    assert np.array_equal(resumed, at_once)
