import dataclasses

import numpy as np
import pytest

from benchmarks.data.arrays import ImageArrays, squares
from benchmarks.data.ragged import RaggedImages


def pictures(channels: int = 3) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    sizes = [(4, 6), (4, 4), (7, 4), (4, 9)]
    return [random.integers(0, 256, (height, width, channels), dtype=np.uint8) for height, width in sizes]


def arrays(partition: np.ndarray | None = None) -> ImageArrays:
    return ImageArrays("mine", RaggedImages.of(pictures()), np.array([0, 0, 1, 1]), ["a", "b"], None, [], partition)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_picture_comes_out_as_it_went_in(channels: int) -> None:
    given = pictures(channels)
    images = RaggedImages.of(given)
    assert len(images) == 4 and images.channels == channels
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(images, given, strict=True))


def test_rows_are_views_of_the_same_buffer() -> None:
    images = RaggedImages.of(pictures())
    chosen = images[np.array([2, 0, 2])]
    assert [picture.shape[:2] for picture in chosen] == [(7, 4), (4, 6), (7, 4)]
    assert chosen.pixels is images.pixels
    assert np.shares_memory(chosen.one(0), images.pixels)
    assert np.array_equal(images[np.array([False, True, False, False])].one(0), images.one(1))


def test_a_single_row_is_refused_with_the_way_to_its_pixels() -> None:
    with pytest.raises(TypeError, match=r"got 2; use one\(2\)"):
        RaggedImages.of(pictures())[2]  # type: ignore[index]


def test_digests_follow_their_pictures() -> None:
    images = RaggedImages.of(pictures())
    known = dataclasses.replace(images, known_digests=images.digests)
    rows = np.array([3, 1])
    assert np.array_equal(known[rows].digests, images[rows].digests)
    assert len({digest.tobytes() for digest in images.digests}) == 4


def test_hash_depends_on_pictures_sizes_and_partition_but_not_on_where_the_pixels_lie() -> None:
    plain = arrays()
    moved = dataclasses.replace(plain, images=RaggedImages.of(pictures()[::-1])[np.array([3, 2, 1, 0])])
    assert moved.content_hash == plain.content_hash
    changed = pictures()
    changed[2][0, 0, 0] ^= 1
    turned = pictures()
    turned[2] = turned[2].reshape(4, 7, 3)
    variants = [
        dataclasses.replace(plain, images=RaggedImages.of(changed)),
        dataclasses.replace(plain, images=RaggedImages.of(turned)),
        arrays(np.array([0, 0, 1, 1], dtype=np.uint8)),
        arrays(np.array([0, 0, 2, 3], dtype=np.uint8)),
    ]
    assert len({plain.content_hash, *(variant.content_hash for variant in variants)}) == 5


def test_arrays_tell_channels_and_shortest_side_whatever_holds_the_images() -> None:
    ragged = arrays()
    square = dataclasses.replace(ragged, images=np.zeros((4, 5, 5, 1), dtype=np.uint8))
    assert (ragged.channels, ragged.image_size) == (3, 4)
    assert (square.channels, square.image_size) == (1, 5)


def test_class_subset_takes_the_partition_along() -> None:
    labels = np.repeat(np.arange(4), 2)
    images = RaggedImages.of(pictures() + pictures())
    partition = np.array([0, 0, 0, 0, 2, 3, 2, 3], dtype=np.uint8)
    subset = ImageArrays("mine", images, labels, list("abcd"), None, [], partition).with_classes(2)
    assert subset.class_names == ["a", "c"] and subset.labels.tolist() == [0, 0, 1, 1]
    assert subset.partition is not None and subset.partition.tolist() == [0, 0, 2, 3]
    assert [picture.shape[:2] for picture in subset.images] == [(4, 6), (4, 4), (4, 6), (4, 4)]


def test_squares_of_pictures_of_several_sizes_are_their_centres() -> None:
    wide = np.zeros((4, 12, 3), dtype=np.uint8)
    wide[:, 4:8] = 200
    assert np.all(squares(RaggedImages.of([wide]), 4) == 200)
    assert arrays().resized(4).images.shape == (4, 4, 4, 3)
