from dataclasses import replace

import numpy as np
import pytest

from benchmarks.config.compose import compose
from benchmarks.data import ImageArrays, load
from benchmarks.data.arrays import squares
from benchmarks.data.builders import glyphs_lite0
from benchmarks.data.builders.glyphs_lite0 import deviation, reduced
from benchmarks.data.feature_arrays import FeatureArrays
from benchmarks.data.features import Features
from benchmarks.data.loading import SHIPPED_GLYPHS


def random_features(classes: int = 8, width: int = 12) -> tuple[Features, ImageArrays]:
    random = np.random.default_rng(0)
    labels, names = np.repeat(np.arange(classes), 4), [f"c{number}" for number in range(classes)]
    features = Features(random.normal(size=(4 * classes, width)).astype(np.float32), labels, names)
    images = random.integers(0, 256, size=(4 * classes, 64, 64, 1), dtype=np.uint8)
    return features, ImageArrays("drawn", images, labels, names, None, [])


@pytest.fixture(scope="module")
def shipped() -> FeatureArrays:
    data = load(compose(["data=glyphs_lite0"])[0].data)
    assert isinstance(data, FeatureArrays)
    return data


@pytest.fixture(scope="module")
def drawn() -> ImageArrays:
    return load(compose(glyphs_lite0.SETTINGS)[0].data)


def test_the_components_keep_the_distances_of_training_rows() -> None:
    features, images = random_features()
    made = reduced(features, images, num_features=12).features.astype(np.float64)
    whole = features.features.astype(np.float64)
    distances = [np.linalg.norm(rows[:, None] - rows, axis=2) for rows in (made, whole)]
    assert np.allclose(*distances, atol=0.01)  # float16 keeps three digits


def test_components_come_from_training_classes_alone() -> None:
    features, images = random_features()
    changed = features.features.copy()
    changed[16:] *= 7  # the test classes
    other = reduced(replace(features, features=changed), images, num_features=3)
    assert np.array_equal(other.features[:16], reduced(features, images, num_features=3).features[:16])
    assert abs(other.features[:16].astype(np.float64).mean(axis=0)).max() < 0.001
    spread = other.features[:16].astype(np.float64).std(axis=0)
    assert np.all(np.diff(spread) < 0)  # the component of most variance first


def test_more_components_than_training_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 12.*but got 13"):
        reduced(*random_features(), num_features=13)


def test_the_deviation_is_relative_and_needs_the_same_rows() -> None:
    features, _ = random_features()
    assert deviation(features, features) == 0
    assert deviation(replace(features, features=1.5 * features.features), features) == pytest.approx(0.5)
    assert deviation(random_features(classes=4)[0], features) is None


def test_the_shipped_features_are_those_of_their_hash(shipped: FeatureArrays) -> None:
    assert shipped.content_hash == glyphs_lite0.CONTENT_HASH
    assert shipped.images.shape == (4831, glyphs_lite0.NUM_FEATURES)


def test_the_shipped_features_and_pictures_are_of_the_shipped_glyphs(
    shipped: FeatureArrays, drawn: ImageArrays
) -> None:
    assert shipped.provenance["data"] == {"name": "glyphs", "hash": drawn.content_hash}
    assert np.array_equal(shipped.labels, drawn.labels) and shipped.class_names == drawn.class_names
    assert shipped.source is not None and np.array_equal(shipped.source, drawn.source)
    rows = np.array([0, 100, 4830])
    assert np.array_equal(shipped.pictures(rows), squares(drawn.images[rows], glyphs_lite0.PICTURE_SIDE))


def test_the_shipped_components_are_those_of_the_training_classes(shipped: FeatureArrays) -> None:
    assert isinstance(shipped.images, np.ndarray)
    learned = shipped.images[shipped.labels < glyphs_lite0.NUM_CLASSES // 2].astype(np.float64)
    correlation = np.corrcoef(learned, rowvar=False)
    assert abs(learned.mean(axis=0)).max() < 0.001 * learned.std()
    assert abs(correlation - np.eye(len(correlation))).max() < 0.001


def test_the_notice_says_what_the_features_were_computed_of() -> None:
    notice = SHIPPED_GLYPHS.with_name("NOTICE.txt").read_text()
    assert "glyphs_lite0.npz" in notice and "EfficientNet-Lite0" in notice
