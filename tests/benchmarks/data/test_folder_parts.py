from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.config.data import DataConfig
from benchmarks.data import load
from benchmarks.data.arrays import GALLERY, QUERY, TEST, TRAIN
from benchmarks.data.folder import list_folder, read_folder
from benchmarks.data.split import class_disjoint_split


def save(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (level, level, level)).save(path)


@pytest.fixture
def halves(tmp_path: Path) -> Path:
    """Two training classes, z and y, and two test classes, a and b, with two images each."""
    for number, name in enumerate(("train/z", "train/y", "test/b", "test/a")):
        for image in range(2):
            save(tmp_path / name / f"{image}.png", 50 * number + image)
    return tmp_path


def test_folders_named_train_and_test_decide_the_split(halves: Path) -> None:
    read = read_folder(halves, "mine", None)
    assert read.class_names == ["y", "z", "a", "b"] and read.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert read.partition is not None and read.partition.tolist() == [TRAIN] * 4 + [TEST] * 4
    assert read.images[:, 0, 0, 0].tolist() == [50, 51, 0, 1, 150, 151, 100, 101]
    split = class_disjoint_split(read.labels, 0, 1, read.partition)
    assert split.train.tolist() == [0, 1, 2, 3] and split.test.tolist() == [4, 5, 6, 7]


def test_queries_search_a_gallery_whose_classes_may_have_one_image(halves: Path) -> None:
    (halves / "test").rename(halves / "query")
    save(halves / "gallery" / "a" / "9.png", 7)
    save(halves / "gallery" / "b" / "9.png", 8)
    save(halves / "gallery" / "nobody" / "9.png", 9)  # a distractor
    listing = list_folder(halves)
    assert listing.class_names == ["y", "z", "a", "b", "nobody"]
    assert listing.partition is not None
    assert listing.partition.tolist() == [TRAIN] * 4 + [QUERY, QUERY, GALLERY] * 2 + [GALLERY]
    split = class_disjoint_split(listing.labels, 0, 1, listing.partition)
    assert split.gallery is not None and split.gallery.tolist() == [6, 9, 10]


def test_both_ways_of_reading_a_folder_keep_the_parts(halves: Path, tmp_path: Path) -> None:
    for resize in ("square", "short_side"):
        config = DataConfig("mine", "folder", str(halves), 4, resize=resize, cache=str(tmp_path / ".cache"))
        partition = load(config).partition
        assert partition is not None and partition.tolist() == [TRAIN] * 4 + [TEST] * 4


def test_classes_may_be_called_train_and_test(tmp_path: Path) -> None:
    for name in ("train", "test"):
        for image in range(2):
            save(tmp_path / name / f"{image}.png", image)
    listing = list_folder(tmp_path)
    assert listing.class_names == ["test", "train"] and listing.partition is None


def test_incomplete_or_leaking_parts_are_refused(halves: Path) -> None:
    save(halves / "test" / "z" / "new.png", 1)
    with pytest.raises(ValueError, match="class z is in both"):
        list_folder(halves)
    (halves / "test" / "z" / "new.png").unlink()
    with pytest.raises(ValueError, match="z: holds no images"):
        list_folder(halves)
    (halves / "test" / "z").rmdir()
    (halves / "test" / "a" / "0.png").unlink()
    with pytest.raises(ValueError, match="a"):
        list_folder(halves)
    (halves / "test").rename(halves / "query")
    with pytest.raises(ValueError, match="train, query and gallery, but found query, train"):
        list_folder(halves)


def test_the_classes_of_both_sides_are_spread_when_only_some_are_taken(halves: Path) -> None:
    config = DataConfig("mine", "folder", str(halves), 4, num_classes=2, resize="square", cache=None)
    taken = load(config)
    assert taken.class_names == ["y", "a"] and np.array_equal(taken.labels, [0, 0, 1, 1])
