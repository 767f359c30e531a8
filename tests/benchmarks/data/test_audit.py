import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from benchmarks.config.data import DataConfig
from benchmarks.data import ImageArrays, load
from benchmarks.data import audit as auditing
from benchmarks.data.audit import THRESHOLD, audit, audit_or_refuse, find_twins, leaks, thumbnails
from benchmarks.data.ragged import RaggedImages
from benchmarks.data.split import Split, class_disjoint_split
from benchmarks.errors import UserError

CLASSES = 16


def pictures(channels: int = 1, side: int = 32, seed: int = 0) -> np.ndarray:
    """Two blocky pictures a class, all unlike each other."""
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 256, (2 * CLASSES, 8, 8, channels), dtype=np.uint8)
    return blocks.repeat(side // 8, axis=1).repeat(side // 8, axis=2)


def arrays(images: np.ndarray) -> ImageArrays:
    labels = np.repeat(np.arange(CLASSES), 2)
    return ImageArrays("made up", images, labels, [f"class {k}" for k in range(CLASSES)], None, [])


SPLIT = class_disjoint_split(np.repeat(np.arange(CLASSES), 2), fold=0)
TRAIN, VAL, TEST = SPLIT.train[0], SPLIT.val[0], SPLIT.test[0]


def compressed(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze()).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer)).reshape(image.shape)


def smaller_and_back(image: np.ndarray) -> np.ndarray:
    picture, side = Image.fromarray(image.squeeze()), image.shape[0]
    back = picture.resize((side * 3 // 4,) * 2, Image.Resampling.BILINEAR).resize((side,) * 2)
    return np.asarray(back).reshape(image.shape)


def brighter(image: np.ndarray) -> np.ndarray:
    return (40 + image * 0.8).astype(np.uint8)


def test_unlike_images_have_nothing_in_common():
    found = audit(arrays(pictures()), SPLIT)
    assert (found["shared_classes"], found["identical"], found["near_identical"]) == (0, 0, 0)
    assert found["images"] == CLASSES and found["threshold"] == THRESHOLD
    assert found["validation"] == {"shared_classes": 0, "identical": 0, "near_identical": 0, "images": 4}


@pytest.mark.parametrize("earlier", [TRAIN, VAL])
def test_an_image_copied_to_the_test_side_is_found(earlier):
    images = pictures()
    images[TEST] = images[earlier]
    found = audit(arrays(images), SPLIT)
    assert (found["identical"], found["near_identical"]) == (1, 1)
    assert found["validation"]["identical"] == 0


def test_an_image_copied_to_the_validation_side_is_found_there_alone():
    images = pictures()
    images[VAL] = images[TRAIN]
    found = audit(arrays(images), SPLIT)
    assert (found["identical"], found["validation"]["identical"]) == (0, 1)


@pytest.mark.parametrize("changed", [lambda i: compressed(i, 75), smaller_and_back, brighter])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_copy_that_was_compressed_resized_or_brightened_is_near_identical(changed, channels):
    images = pictures(channels, side=96)
    images[TEST] = changed(images[TRAIN])
    found = audit(arrays(images), SPLIT)
    assert (found["identical"], found["near_identical"]) == (0, 1)
    assert found["examples"] == [[f"class {TEST // 2}", f"class {TRAIN // 2}"]]


def test_colours_tell_images_of_one_shape_apart():
    images = np.zeros((2 * CLASSES, 32, 32, 3), np.uint8)
    for row in range(2 * CLASSES):
        images[row, row : row + 8, 4:28] = (row * 7, 255 - row * 7, 128)
    images[TEST] = 0
    images[TEST, 8:24, 8:24, 0] = 200  # a red square
    images[TRAIN] = 0
    images[TRAIN, 8:24, 8:24, 2] = 200  # a blue one
    assert audit(arrays(images), SPLIT)["near_identical"] == 0


def test_images_of_one_colour_are_like_nothing_but_themselves():
    images = pictures()
    images[TRAIN], images[TEST] = 10, 200
    assert audit(arrays(images), SPLIT)["near_identical"] == 0
    images[TRAIN] = 200
    assert audit(arrays(images), SPLIT)["identical"] == 1


def test_classes_on_both_sides_are_counted():
    rows = np.arange(2 * CLASSES)
    found = audit(arrays(pictures()), Split(train=rows[0:16:2], val=rows[16:24], test=np.append(rows[1:16:2], 30)))
    assert found["shared_classes"] == 8 and found["validation"]["shared_classes"] == 0


def test_the_gallery_belongs_to_the_test_side():
    images = pictures()
    images[SPLIT.test[-1]] = images[TRAIN]
    whole = SPLIT._replace(test=SPLIT.test[:8], gallery=SPLIT.test[8:])
    found = audit(arrays(images), whole)
    assert (found["identical"], found["images"]) == (1, CLASSES)


@pytest.mark.parametrize("threshold", [0.5, 0.9, 0.995])
def test_the_bound_loses_no_pair(threshold, monkeypatch):
    monkeypatch.setattr(auditing, "ROWS", 7)
    monkeypatch.setattr(auditing, "COLUMNS", 11)
    random = np.random.default_rng(1)
    vectors = random.normal(size=(80, 64)).astype(np.float32)
    vectors[40:] = vectors[:40] + random.normal(size=(40, 64)) * np.linspace(0, 3, 40)[:, None]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    every = vectors[40:] @ vectors[:40].T
    twin = find_twins(vectors[40:], vectors[:40], threshold)
    expected = every.max(axis=1) >= threshold
    assert ((twin >= 0) == expected).all() and expected.any() and not expected.all()
    assert (every[expected, twin[expected]] >= threshold).all()


@pytest.mark.slow
def test_images_that_are_all_alike_are_found_without_comparing_each_pair_in_full():
    alike = np.full((3000, 64), 1 / 8, np.float32)
    assert (find_twins(alike, alike, 0.995) >= 0).all()


def test_a_thumbnail_averages_what_a_cell_covers():
    image = np.zeros((1, 20, 48, 1), np.uint8)  # cells of 1.25 x 3 pixels
    image[0, 1, 0:3] = 100
    grid = thumbnails(image).reshape(16, 16)
    grid = grid - grid.min()
    assert grid[0, 0] == pytest.approx(grid[1, 0] / 3, rel=1e-5)  # a quarter of pixel 1 against its other three
    assert np.count_nonzero(grid > 1e-6) == 2


def ragged(known_digests: np.ndarray | None = None) -> RaggedImages:
    """The 31 first pictures, and the first again but larger, as a test image."""
    several = list(pictures()[:31])
    several.append(several[0].repeat(2, axis=0).repeat(2, axis=1))
    images = RaggedImages.of(several)
    return images if known_digests is None else replace(images, known_digests=known_digests)


def test_pictures_of_several_sizes_are_compared_too():
    found = audit(replace(arrays(pictures()), images=ragged()), SPLIT)
    assert (found["identical"], found["near_identical"]) == (0, 1)


def test_equal_pixels_in_another_shape_are_not_identical():
    images = list(pictures()[:, :8])
    images[TRAIN], images[TEST] = np.full((8, 32, 1), 7, np.uint8), np.full((16, 16, 1), 7, np.uint8)
    assert audit(replace(arrays(pictures()), images=RaggedImages.of(images)), SPLIT)["identical"] == 0


def test_pixels_that_changed_since_they_were_decoded_are_refused():
    digests = ragged().digests.copy()
    assert audit(replace(arrays(pictures()), images=ragged(digests)), SPLIT)["near_identical"] == 1
    digests[5, 0] ^= 1
    with pytest.raises(UserError, match="image 5 has changed since it was decoded; delete the directory"):
        audit(replace(arrays(pictures()), images=ragged(digests)), SPLIT)


@pytest.mark.slow
def test_the_shipped_glyphs_may_be_used_as_configured():
    glyphs = load(DataConfig("glyphs", "glyphs", image_size=32))
    for fold in (0, 2):
        found = audit(glyphs, class_disjoint_split(glyphs.labels, fold))
        assert leaks(found, twins_allowed=0.03, identical_allowed=0) == []
        assert 0 < found["near_identical"] < 150  # letters that differ by a dot


def allowing(twins: float = 0.01, identical: float = 0) -> DataConfig:
    return DataConfig("mine", "npz", "mine.npz", twins_allowed=twins, identical_allowed=identical)


def test_twins_are_refused_above_the_share_allowed_and_the_refusal_says_how_to_declare_them():
    images = pictures()
    images[TEST] = brighter(images[TRAIN])
    data = arrays(images)
    with pytest.raises(UserError, match=r"1 of 16 test images .* class 8 and class 2.*data.twins_allowed=0.06"):
        audit_or_refuse(data, SPLIT, allowing())
    assert audit_or_refuse(data, SPLIT, allowing(twins=0.07))["twins_allowed"] == 0.07


def test_shared_classes_are_refused_whatever_is_allowed_and_identical_images_unless_declared():
    counts = {"shared_classes": 0, "identical": 0, "near_identical": 0, "images": 10}
    sound = {**counts, "validation": counts, "examples": []}
    assert leaks(sound, 0.01, 0) == []
    (problem,) = leaks({**sound, "identical": 2}, 1, 0)
    assert problem.startswith("2 test images are identical to images on the training side; take them out")
    assert leaks({**sound, "identical": 2}, 1, identical_allowed=0.2) == []
    assert leaks({**sound, "validation": {**counts, "shared_classes": 3}}, 1, 1) == [
        "3 classes are on both sides of the validation split"
    ]


def test_query_with_a_copy_in_the_gallery_is_refused_unless_declared():
    images = pictures()
    queries, gallery = SPLIT.test[::2], SPLIT.test[1::2]
    data, split = arrays(images), SPLIT._replace(test=queries, gallery=gallery)
    assert audit_or_refuse(data, split, allowing())["queries_in_gallery"] == 0
    images[gallery[3]] = images[queries[3]]
    data = arrays(images)
    with pytest.raises(UserError, match="1 of 8 queries are identical to a gallery image and would find themselves"):
        audit_or_refuse(data, split, allowing())
    assert audit_or_refuse(data, split, allowing(identical=1 / 8))["queries_in_gallery"] == 1


def test_audit_is_remembered_per_split_for_as_long_as_the_data_is_loaded(monkeypatch):
    data, computed = arrays(pictures(seed=3)), []
    monkeypatch.setattr(auditing, "audit", lambda *given: computed.append(given) or audit(*given))
    for fold in (0, 1, 1):
        audit_or_refuse(data, class_disjoint_split(data.labels, fold), allowing())
    assert len(computed) == 2
    audit_or_refuse(arrays(pictures(seed=3)), SPLIT, allowing())
    assert len(computed) == 3
