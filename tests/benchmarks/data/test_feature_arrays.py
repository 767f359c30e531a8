from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.config.compose import compose
from benchmarks.config.data import DataConfig
from benchmarks.data import load
from benchmarks.data.audit import audit
from benchmarks.data.feature_arrays import FeatureArrays
from benchmarks.data.features import SelectedFeatures, npz_bytes, read_features
from benchmarks.data.split import class_disjoint_split
from benchmarks.errors import UserError


def write(path: Path, features: np.ndarray | None = None, classes: int = 16, **arrays: Any) -> Path:
    if features is None:
        features = np.random.default_rng(0).normal(size=(3 * classes, 5)).astype(np.float32)
    path.write_bytes(npz_bytes({"features": features, "labels": np.repeat(np.arange(classes), 3), **arrays}))
    return path


def loaded(path: Path, **keys: Any) -> FeatureArrays:
    data = load(DataConfig("mine", "features", str(path), **keys))
    assert isinstance(data, FeatureArrays)
    return data


def test_features_are_a_data_set(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.npz")
    data = loaded(path)
    assert (data.name, data.channels, data.image_size, data.standardize) == ("mine", 5, 1, True)
    assert data.content_hash == read_features(path).content_hash
    assert not loaded(path, standardize=False).standardize
    fewer = loaded(path, num_classes=4)
    assert fewer.class_names == ["0", "4", "8", "12"] and fewer.images.shape == (12, 5)
    assert np.array_equal(fewer.images[3:6], data.images[12:15]) and fewer.content_hash != data.content_hash


def test_constant_columns_are_refused_or_left_out(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(48, 5)).astype(np.float32)
    features[:, [1, 3]] = 2
    path = write(tmp_path / "mine.npz", features)
    with pytest.raises(ValueError, match="2 of 5 features have one value in all rows, the first is column 1"):
        loaded(path)
    assert np.array_equal(loaded(path, drop_constant=True).images, features[:, [0, 2, 4]])
    with pytest.raises(ValueError, match="5 of 5 features"):
        loaded(write(tmp_path / "all.npz", np.ones((48, 5), np.float32)), drop_constant=True)


@pytest.mark.parametrize("views", [0, 2])
def test_mapped_features_are_those_of_a_file_in_memory(views: int, tmp_path: Path) -> None:
    shape = (48, 1 + views, 5) if views else (48, 5)
    features = np.random.default_rng(0).normal(size=shape).astype(np.float16)
    features[..., [1, 3]] = 2
    write(tmp_path / "mine.npz", features)
    mapped = tmp_path / "mapped"
    mapped.mkdir()
    np.save(mapped / "features.npy", features)
    np.savez(mapped / "rest.npz", labels=np.repeat(np.arange(16), 3))
    for keys in ({"drop_constant": True}, {"drop_constant": True, "num_classes": 4}):
        there, here = loaded(mapped, **keys), loaded(tmp_path / "mine.npz", **keys)
        assert isinstance(there.array, SelectedFeatures) and isinstance(here.array, np.ndarray)
        assert (there.array.shape, there.array.dtype) == (here.array.shape, here.array.dtype)
        assert np.array_equal(there.array[:], here.array)
        assert there.content_hash == here.content_hash and np.array_equal(there.labels, here.labels)
        assert np.array_equal(there.row_digests(), here.row_digests())
        assert np.array_equal(there.pictures(np.array([5, 2])), here.pictures(np.array([5, 2])))


def test_the_audit_counts_equal_rows_and_nothing_that_is_merely_alike(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(48, 5)).astype(np.float32)
    features[30] = features[2] = [0, 1, 2, 3, 4]  # test and training
    features[2, 0] = -0.0
    features[31] = 1.0001 * features[3]
    data = loaded(write(tmp_path / "mine.npz", features))
    found = audit(data, class_disjoint_split(data.labels, 3))
    assert (found["identical"], found["near_identical"], found["images"]) == (1, 1, 24)


def test_a_picture_shows_each_feature_as_a_gray_level(tmp_path: Path) -> None:
    data = loaded(write(tmp_path / "mine.npz"))
    pictures = data.pictures(np.arange(6))
    assert pictures.shape == (6, 3, 3, 1) and pictures.dtype == np.uint8
    flat = pictures.reshape(6, 9)
    assert not flat[:, 5:].any()
    assert np.array_equal(flat[:, :5].argmax(axis=0), data.images[:6].argmax(axis=0))
    assert (flat[:, :5].max(axis=0) == 255).all() and (flat[:, :5].min(axis=0) == 0).all()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data.image_size=8"], "data.image_size must be null"),
        (["protocol=quickstart"], "changes pixels, and data.kind=features has none: use protocol=frozen"),
        (["trunk=resnet50"], "trunk=resnet50 takes images"),
        (["data=glyphs", "data.standardize=true"], "data.standardize has no effect with data.kind=glyphs"),
    ],
)
def test_what_has_no_meaning_for_features_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        compose(["data=features", "data.path=mine.npz", *words])


def test_features_come_with_their_trunk_and_protocol() -> None:
    config = compose(["data=features", "data.path=mine.npz"])[0]
    assert (config.trunk.name, config.protocol.name) == ("given", "frozen")
    assert compose(["data=glyphs"])[0].trunk.name == "small_cnn"


def test_a_path_is_needed() -> None:
    with pytest.raises(ValueError, match="data.path is missing"):
        load(DataConfig("mine", "features"))


def test_the_pictures_of_a_file_are_shown_in_the_place_of_its_features(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, size=(48, 4, 6, 3), dtype=np.uint8)
    path = write(tmp_path / "mine.npz", pictures=pictures)
    assert np.array_equal(loaded(path).pictures(np.array([3, 1])), pictures[[3, 1]])
    fewer = loaded(path, num_classes=4)  # 0, 4, 8, 12
    assert np.array_equal(fewer.pictures(np.array([3, 11])), pictures[[12, 38]])
    assert loaded(path).content_hash == loaded(write(tmp_path / "without.npz")).content_hash


@pytest.mark.parametrize(
    "pictures",
    [np.zeros((47, 4, 4, 1), "u1"), np.zeros((48, 4, 4), "u1"), np.zeros((48, 4, 4, 2), "u1"), np.zeros((48, 4, 4, 1))],
)
def test_pictures_that_do_not_fit_are_refused(tmp_path: Path, pictures: np.ndarray) -> None:
    path = write(tmp_path / "mine.npz", pictures=pictures)
    with pytest.raises(ValueError, match=r"pictures must be uint8 of shape \(48, height, width, 1 or 3\)"):
        loaded(path)


def test_a_shipped_file_is_found_from_every_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config, _ = compose(["data=glyphs_lite0", "data.num_classes=16"])
    assert (config.trunk.name, config.protocol.name) == ("given", "frozen")
    assert config.data.identity()["path"] == "shipped:glyphs_lite0.npz"
    assert len(load(config.data).class_names) == 16
    with pytest.raises(FileNotFoundError, match="other.npz"):
        loaded(Path("shipped:other.npz"))
