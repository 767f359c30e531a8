from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.config.data import DataConfig
from benchmarks.data import RaggedImages, load


def group(kind: str = "glyphs", **changes: Any) -> DataConfig:
    if kind == "folder":
        changes = {"resize": "square"} | changes
    return DataConfig("mine", kind, **changes)


def test_glyphs_have_the_stated_size() -> None:
    glyphs = load(group())
    counts = np.bincount(glyphs.labels)
    assert glyphs.images.shape == (22783, 64, 64, 1)
    assert (len(counts), counts.min(), np.median(counts), counts.max()) == (1880, 8, 12, 16)
    assert len(glyphs.source_names) == 16


@pytest.mark.slow
def test_subset_is_taken_before_resizing_and_decides_the_hash() -> None:
    small = load(group(image_size=16, num_classes=20))
    assert small.images.shape[1:] == (16, 16, 1) and len(small.class_names) == 20
    whole = load(group()).with_classes(20).resized(16)
    assert small.content_hash == whole.content_hash != load(group(num_classes=20)).content_hash


def test_npz_and_folder_of_the_same_images_agree(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(6) // 2
    np.savez(tmp_path / "data.npz", images=images, labels=labels, class_names=["a", "b", "c"])
    for row, image in enumerate(images):
        file = tmp_path / "folder" / "abc"[labels[row]] / f"{row}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    for image_size in (None, 5):
        npz = load(group(kind="npz", path=str(tmp_path / "data.npz"), image_size=image_size))
        folder = load(group(kind="folder", path=str(tmp_path / "folder"), image_size=image_size))
        assert npz.content_hash == folder.content_hash


@pytest.mark.parametrize("kind", ["npz", "folder"])
def test_missing_path_is_asked_for(kind: str) -> None:
    with pytest.raises(ValueError, match=f"data.path is missing: .* data={kind} data.path="):
        load(group(kind=kind))


def test_path_for_glyphs_is_refused() -> None:
    with pytest.raises(ValueError, match="data.path must be null for data.kind=glyphs, but got 'x.npz'"):
        load(group(path="x.npz"))


def published(kind: str, path: Path, **changes: Any) -> DataConfig:
    given = {"image_size": 16, "resize": "short_side", "cache": str(path.parent / "cache"), "workers": 1}
    if kind != "folder":
        given |= {"verify": False, "download": False}
    return group(kind, path=str(path), **given | changes)


@pytest.mark.parametrize("kind", ["cub", "cars196", "sop", "inshop"])
def test_published_sets_load_as_rgb_of_their_shape(kind: str, request: pytest.FixtureRequest) -> None:
    config = published(kind, request.getfixturevalue(kind))
    arrays = load(config)
    assert isinstance(arrays.images, RaggedImages)
    assert (arrays.channels, arrays.image_size, len(arrays.images)) == (3, 16, len(arrays.labels))
    assert set(map(tuple, arrays.images.sizes.tolist())) == {(16, 24)}
    assert arrays.labels.tolist() == sorted(arrays.labels) and arrays.labels.max() == len(arrays.class_names) - 1
    assert arrays.partition is not None and arrays.partition.shape == arrays.labels.shape
    assert load(config).content_hash == arrays.content_hash


def test_squares_of_a_published_set_are_a_plain_array(cub: Path) -> None:
    arrays = load(published("cub", cub, resize="square"))
    assert isinstance(arrays.images, np.ndarray) and arrays.images.shape == (11, 16, 16, 3)


def test_class_subset_of_a_published_set_is_that_of_its_whole(cub: Path) -> None:
    whole = load(published("cub", cub)).with_classes(3)
    assert load(published("cub", cub, num_classes=3)).content_hash == whole.content_hash


def test_folder_keeps_the_shape_of_its_images_if_asked(save: Callable[..., Path], tmp_path: Path) -> None:
    for row in range(4):
        save(tmp_path / "images" / "ab"[row // 2] / f"{row}.jpg", row, (20 + row, 30))
    arrays = load(published("folder", tmp_path / "images"))
    assert isinstance(arrays.images, RaggedImages) and arrays.partition is None
    assert arrays.images.sizes.tolist() == [[24, 16], [22, 16], [21, 16], [20, 16]]
    squares = load(group(kind="folder", path=str(tmp_path / "images"), image_size=16, resize="square"))
    assert isinstance(squares.images, np.ndarray) and squares.images.shape == (4, 16, 16, 3)


def test_cache_where_no_directory_can_be_is_refused_by_key(cub: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for cache in ("file", "file/deeper"):
        with pytest.raises(ValueError, match="data.cache must be a directory"):
            load(published("cub", cub, cache=str(tmp_path / cache)))


def test_missing_emoji_name_the_command_that_builds_them(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file; build it with: pml-aug data build emoji"):
        load(group(kind="emoji", path=str(tmp_path / "emoji64.npz")))
