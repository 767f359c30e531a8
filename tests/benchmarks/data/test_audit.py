import io
import json

import numpy as np
import pytest
from PIL import Image

from benchmarks.data import ImageArrays, load
from benchmarks.data import audit as auditing
from benchmarks.data.audit import audit, audit_or_refuse, cached_audit, find_twins, thumbnails
from benchmarks.data.audit_rule import THRESHOLD, leaks
from benchmarks.data.identity import identity
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


def test_images_that_are_all_alike_are_found_without_comparing_each_pair_in_full():
    alike = np.full((3000, 64), 1 / 8, np.float32)
    assert (find_twins(alike, alike, 0.995) >= 0).all()


def test_what_an_audit_lets_pass_does_not_name_a_run():
    group = {"kind": "glyphs", "path": None, "image_size": 32, "num_classes": None}
    assert identity({**group, "twins_allowed": 0.5, "identical_allowed": 0.5}) == group


def test_a_thumbnail_averages_what_a_cell_covers():
    image = np.zeros((1, 20, 48, 1), np.uint8)  # cells of 1.25 x 3 pixels
    image[0, 1, 0:3] = 100
    grid = thumbnails(image).reshape(16, 16)
    grid = grid - grid.min()
    assert grid[0, 0] == pytest.approx(grid[1, 0] / 3, rel=1e-5)  # a quarter of pixel 1 against its other three
    assert np.count_nonzero(grid > 1e-6) == 2


def test_pictures_of_several_sizes_are_read_one_by_one():
    class Several:
        def __len__(self) -> int:
            return 2 * CLASSES

        def one(self, i: int) -> np.ndarray:
            image = pictures()[i % 31]  # the last is the first again, but larger
            return image if i < 31 else image.repeat(2, axis=0).repeat(2, axis=1)

    found = audit(with_images(Several()), SPLIT)
    assert (found["identical"], found["near_identical"]) == (0, 1)


def with_images(images: object) -> ImageArrays:
    return ImageArrays("made up", images, arrays(pictures()).labels, arrays(pictures()).class_names, None, [])  # type: ignore[arg-type]


def test_the_shipped_glyphs_may_be_used_as_configured():
    group = {"name": "glyphs", "kind": "glyphs", "path": None, "image_size": 32, "num_classes": None}
    glyphs = load(group)
    for fold in (0, 2):
        found = audit(glyphs, class_disjoint_split(glyphs.labels, fold))
        assert leaks(found, allowed=0.03) == []
        assert 0 < found["near_identical"] < 150  # letters that differ by a dot


def test_twins_are_refused_above_the_share_allowed_and_the_refusal_says_how_to_declare_them(tmp_path):
    images = pictures()
    images[TEST] = brighter(images[TRAIN])
    data = arrays(images)
    with pytest.raises(UserError, match=r"1 of 16 test images .* class 8 and class 2.*data.twins_allowed=0.06"):
        audit_or_refuse(data, SPLIT, {}, tmp_path)
    assert audit_or_refuse(data, SPLIT, {"twins_allowed": 0.07}, tmp_path)["twins_allowed"] == 0.07


def test_shared_classes_are_refused_whatever_is_allowed_and_identical_images_unless_declared():
    counts = {"shared_classes": 0, "identical": 0, "near_identical": 0, "images": 10}
    sound = {**counts, "validation": counts, "examples": []}
    assert leaks(sound) == []
    (problem,) = leaks({**sound, "identical": 2}, allowed=1)
    assert problem.startswith("2 test images are identical to images on the training side; take them out")
    assert leaks({**sound, "identical": 2}, allowed=1, identical_allowed=0.2) == []
    assert leaks({**sound, "validation": {**counts, "shared_classes": 3}}, allowed=1, identical_allowed=1) == [
        "3 classes are on both sides of the validation split"
    ]


def test_a_long_audit_is_read_from_its_file_the_next_time(tmp_path, monkeypatch):
    monkeypatch.setattr(auditing, "WORTH_A_FILE", 0)
    monkeypatch.setattr(auditing, "_remembered", {})
    data = arrays(pictures(seed=3))
    found = cached_audit(data, SPLIT, tmp_path / "audits")
    (file,) = (tmp_path / "audits").iterdir()
    assert json.loads(file.read_text()) == found
    monkeypatch.setattr(auditing, "_remembered", {})
    monkeypatch.setattr(auditing, "audit", None)  # would fail if called
    assert cached_audit(data, SPLIT, tmp_path / "audits") == found


def test_another_split_is_another_audit(tmp_path, monkeypatch):
    monkeypatch.setattr(auditing, "WORTH_A_FILE", 0)
    data = arrays(pictures(seed=4))
    for fold in (0, 1):
        cached_audit(data, class_disjoint_split(data.labels, fold), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_short_audit_leaves_no_file(tmp_path):
    cached_audit(arrays(pictures(seed=5)), SPLIT, tmp_path)
    assert list(tmp_path.iterdir()) == []
