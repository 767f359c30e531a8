import dataclasses
import hashlib

import numpy as np
import pytest
from PIL import Image

from benchmarks.data.arrays import ImageArrays, fit_square, require_two_images_a_class


def striped(num_classes: int = 10, side: int = 8, channels: int = 1) -> ImageArrays:
    """Two images a class, filled with 10 times the class id."""
    labels = np.repeat(np.arange(num_classes), 2)
    images = np.broadcast_to((10 * labels).astype(np.uint8)[:, None, None, None], (len(labels), side, side, channels))
    names = [f"class {k}" for k in range(num_classes)]
    return ImageArrays("striped", images.copy(), labels, names, labels % 2, ["even", "odd"])


def test_equal_content_has_equal_hash_whatever_its_name_or_memory_layout() -> None:
    arrays = striped()
    renamed = dataclasses.replace(
        arrays, name="other", images=np.asfortranarray(arrays.images), labels=arrays.labels.astype(np.int32)
    )
    assert arrays.content_hash == renamed.content_hash
    assert len(arrays.content_hash) == 64


def test_every_change_of_content_changes_the_hash() -> None:
    arrays = striped()
    changed_image = arrays.images.copy()
    changed_image[3, 2, 1, 0] += 1
    assert arrays.source is not None
    variants = [
        dataclasses.replace(arrays, images=changed_image),
        dataclasses.replace(arrays, images=arrays.images.reshape(20, 4, 16, 1)),
        dataclasses.replace(arrays, labels=arrays.labels[::-1]),
        dataclasses.replace(arrays, class_names=arrays.class_names[::-1]),
        dataclasses.replace(arrays, source=1 - arrays.source),
        dataclasses.replace(arrays, source_names=["odd", "even"]),
        dataclasses.replace(arrays, source=None),
    ]
    assert len({arrays.content_hash, *(variant.content_hash for variant in variants)}) == 1 + len(variants)


def test_hash_is_of_stated_bytes_so_that_it_is_the_same_on_every_platform() -> None:
    names = b'{"shape": [4, 1, 1, 1], "classes": ["class 0", "class 1"], "sources": ["even", "odd"]}'
    labels, source = (b"".join(bytes([value, *7 * [0]]) for value in values) for values in ([0, 0, 1, 1], [0, 0, 1, 1]))
    expected = hashlib.sha256(names + bytes([0, 0, 10, 10]) + labels + source).hexdigest()
    assert striped(num_classes=2, side=1).content_hash == expected


def test_class_subset_is_evenly_spread_and_numbered_anew() -> None:
    subset = striped().with_classes(4)
    assert subset.class_names == ["class 0", "class 2", "class 5", "class 7"]
    assert subset.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert subset.images[:, 0, 0, 0].tolist() == [0, 0, 20, 20, 50, 50, 70, 70]
    assert subset.source is not None and subset.source.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_subset_of_all_classes_changes_nothing() -> None:
    assert striped().with_classes(10).content_hash == striped().content_hash


@pytest.mark.parametrize("num_classes", [-1, 0, 1, 11])
def test_impossible_number_of_classes_is_refused(num_classes: int) -> None:
    with pytest.raises(ValueError, match=rf"data.num_classes must be between 2 and 10, .* got {num_classes}"):
        striped().with_classes(num_classes)


@pytest.mark.parametrize("channels", [1, 3])
def test_resizing_keeps_flat_images_flat(channels: int) -> None:
    resized = striped(channels=channels).resized(4)
    assert resized.images.shape == (20, 4, 4, channels)
    assert resized.images.dtype == np.uint8
    assert np.array_equal(resized.images[:, 0, 0, 0], 10 * resized.labels)
    assert np.ptp(resized.images, axis=(1, 2, 3)).max() == 0


def test_shrinking_antialiases() -> None:
    checkerboard = np.indices((64, 64)).sum(axis=0) % 2 * 255
    shrunk = np.asarray(fit_square(Image.fromarray(checkerboard.astype(np.uint8)), 8))
    # without antialiasing every pixel would be 0 or 255; the mean of a checkerboard is 127.5
    assert np.abs(shrunk.astype(float) - 127.5).max() < 5


def test_wide_picture_is_cropped_to_its_centre() -> None:
    wide = np.zeros((8, 24), dtype=np.uint8)
    wide[:, 8:16] = 200
    assert np.all(np.asarray(fit_square(Image.fromarray(wide), 8)) == 200)


@pytest.mark.parametrize("image_size", [1 << 24, 1 << 32])
def test_images_that_no_memory_can_hold_are_refused_by_key(image_size: int) -> None:
    with pytest.raises(ValueError, match=f"{image_size} x 3 bytes .* smaller data.image_size"):
        striped(channels=3).resized(image_size)


def test_data_with_one_class_is_refused_by_path() -> None:
    with pytest.raises(ValueError, match="somewhere: found 1 class, .* at least 2"):
        require_two_images_a_class(np.zeros(4, dtype=int), ["only"], "somewhere")


def test_classes_with_a_single_image_are_refused_by_path_and_name() -> None:
    with pytest.raises(ValueError, match=r"somewhere: 2 of 3 classes have a single image \(b, c\)"):
        require_two_images_a_class(np.array([0, 0, 1, 2]), ["a", "b", "c"], "somewhere")
