import signal
from pathlib import Path

import killed_extractions
import numpy as np
import pytest
import torch
from filelock import FileLock
from forked import lines_of
from tiny_training import TINY

from benchmarks.config.compose import compose
from benchmarks.data import load
from benchmarks.data.features import read_features
from benchmarks.data.split import class_disjoint_split
from benchmarks.errors import UserError
from benchmarks.runs import resumable
from benchmarks.training import extraction
from benchmarks.training.build import build_trunk
from benchmarks.training.extraction import extract


@pytest.mark.slow
def test_features_are_what_the_trunk_gives_for_each_image(tmp_path: Path) -> None:
    config, options = compose(TINY)
    found = read_features(extract(config, options, tmp_path / "new" / "features.npz"))
    data = load(config.data)
    trunk, width = build_trunk(config, data.channels, data.image_size)
    images = torch.from_numpy(data.images).movedim(-1, 1).float() / 127.5 - 1
    with torch.no_grad():
        expected = trunk.eval()(images)
    assert found.features.shape == (len(data.labels), width) and found.features.dtype == np.float32
    np.testing.assert_allclose(found.features, expected.numpy(), rtol=1e-4, atol=1e-6)
    assert np.array_equal(found.labels, data.labels) and found.class_names == data.class_names
    assert data.source is not None and found.source is not None and np.array_equal(found.source, data.source)
    assert found.provenance["data"]["hash"] == data.content_hash and found.source_names == data.source_names
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["features.npz"]


@pytest.mark.slow
def test_views_are_of_the_training_classes_and_all_different(tmp_path: Path) -> None:
    config, options = compose([*TINY, "protocol.train_images.max_shift=0.3"])
    found = read_features(extract(config, options, tmp_path / "views", views=2))
    plain = read_features(extract(config, options, tmp_path / "plain.npz"))
    assert found.num_views == 2 and isinstance(found.features, np.memmap)
    learned = class_disjoint_split(found.labels, 0, 1).train
    others = np.setdiff1d(np.arange(len(found.labels)), learned)
    assert np.array_equal(found.features[:, 0], plain.features)
    assert np.array_equal(found.features[others, 1], plain.features[others])
    for first, second in ((0, 1), (0, 2), (1, 2)):
        differ = (found.features[learned, first] != found.features[learned, second]).any(axis=1)
        assert differ.mean() > 0.8  # a few shifts are by nothing


@pytest.mark.slow
def test_smaller_numbers_are_near_the_larger_ones(tmp_path: Path) -> None:
    config, options = compose(TINY)
    full = read_features(extract(config, options, tmp_path / "full.npz")).features
    half = read_features(extract(config, options, tmp_path / "half.npz", dtype="float16")).features
    brain = read_features(extract(config, options, tmp_path / "brain.npz", bfloat16=True)).features
    assert half.dtype == np.float16 and brain.dtype == np.float32
    np.testing.assert_allclose(half, full, rtol=1e-3, atol=1e-3)
    assert 0 < np.abs(brain - full).max() < 0.1 * np.abs(full).max()


@pytest.mark.slow
def test_the_layout_of_the_weights_changes_only_rounding_and_is_recorded(tmp_path: Path) -> None:
    config, options = compose(TINY)
    planes = read_features(extract(config, options, tmp_path / "planes.npz"))
    config, options = compose([*TINY, "protocol.channels_last=true"])
    pixels = read_features(extract(config, options, tmp_path / "pixels.npz"))
    np.testing.assert_allclose(pixels.features, planes.features, rtol=1e-4, atol=1e-5)
    assert "channels_last" not in planes.provenance and pixels.provenance["channels_last"] is True


@pytest.mark.slow
def test_a_finished_file_is_kept_and_another_one_is_not_overwritten(tmp_path: Path) -> None:
    config, options = compose(TINY)
    path = extract(config, options, tmp_path / "features.npz")
    written = path.stat().st_mtime_ns
    assert extract(config, options, path) == path and path.stat().st_mtime_ns == written
    with pytest.raises(UserError, match="is there already with other weights"):
        extract(compose([*TINY, "seed=1"])[0], options, path)
    with pytest.raises(UserError, match="is there already with other dtype"):
        extract(config, options, path, dtype="float16")
    (tmp_path / "mine.npz").write_text("something else")
    with pytest.raises(UserError, match="holds no features"):
        extract(config, options, tmp_path / "mine.npz")
    assert sorted(found.name for found in tmp_path.iterdir() if found.suffix == ".npz") == ["features.npz", "mine.npz"]


@pytest.mark.slow
def test_work_with_other_settings_is_not_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable, "SAVE_AFTER", 0.0)
    monkeypatch.setattr(extraction, "_finish", lambda *_: None)
    out = tmp_path / "features.npz"
    extract(*compose([*TINY, "seed=1"]), out)
    monkeypatch.undo()
    extract(*compose(TINY), out)
    alone = extract(*compose(TINY), tmp_path / "alone.npz")
    assert np.array_equal(read_features(out).features, read_features(alone).features)


def test_what_another_process_computes_is_left_alone(tmp_path: Path) -> None:
    with (
        FileLock(tmp_path / "features.npz.unfinished.lock"),
        pytest.raises(UserError, match="another process computes"),
    ):
        extract(*compose(TINY), tmp_path / "features.npz")


@pytest.mark.parametrize(("value", "dtype", "said"), [("nan", "float32", "nan or inf"), ("1e6", "float16", "float32")])
def test_features_that_no_file_can_hold_are_refused(
    value: str, dtype: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.trunks.SmallCNN.forward", lambda self, images: images.flatten(1) * float(value))
    with pytest.raises(UserError, match=said):
        extract(*compose(TINY), tmp_path / "features.npz", dtype=dtype)
    assert not (tmp_path / "features.npz").exists()


@pytest.mark.parametrize("views", [-1, -3])
def test_a_negative_number_of_views_is_refused(views: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"--views must be at least 0, but got {views}"):
        extract(*compose(TINY), tmp_path / "features.npz", views=views)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["features.npz", "features"])
def test_a_killed_computation_goes_on_and_ends_as_one_never_interrupted(name: str, tmp_path: Path) -> None:
    # a block of images takes one forward pass, and one for each view if some are of the training classes
    places = [["forward", 0], ["forward", 4], ["replace", 0], ["forward", 5], ["replace", 2], ["replace", 8]]
    places += [["replace", 1], ["rmtree", 0]] if name.endswith(".npz") else [["replace", 1]]
    (found,) = lines_of(killed_extractions.main, tmp_path, name, places)
    assert found["same"] and found["left"] == [name]
    assert [attempt["signal"] for attempt in found["seen"]] == [signal.SIGKILL] * len(places)
    rows = [attempt["rows"] for attempt in found["seen"] if attempt["rows"] is not None]
    assert len(set(rows)) > 3 and rows == sorted(rows)
