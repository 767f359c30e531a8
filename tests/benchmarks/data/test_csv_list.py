from pathlib import Path

import pytest
from PIL import Image

from benchmarks.config.data import DataConfig
from benchmarks.data import load
from benchmarks.data.arrays import GALLERY, QUERY, TEST, TRAIN
from benchmarks.data.csv_list import list_csv

NAMES = ("c1", "a1", "b1", "a2", "b2", "c2")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for level, name in enumerate(NAMES):
        Image.new("RGB", (6, 6), (level, level, level)).save(tmp_path / "in" / f"{name}.png")
    return tmp_path


def written(folder: Path, *lines: str) -> Path:
    path = folder / "list.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_images_are_ordered_by_the_names_of_their_classes(images: Path) -> None:
    path = written(images, "label, image,price", *(f"{name[0]},in/{name}.png,9" for name in NAMES))
    read = load(DataConfig("mine", "csv", str(path), 6, resize="square"))
    assert read.class_names == ["a", "b", "c"] and read.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert read.images[:, 0, 0, 0].tolist() == [1, 3, 2, 4, 0, 5] and read.partition is None  # type: ignore[index]


def test_a_column_split_decides_the_parts(images: Path, tmp_path: Path) -> None:
    part = {"a": "train", "b": "train", "c": "test"}
    path = written(images, "image,label,split", *(f"in/{n}.png,{n[0]},{part[n[0]]}" for n in NAMES))
    for resize in ("square", "short_side"):
        read = load(DataConfig("mine", "csv", str(path), 6, resize=resize, cache=str(tmp_path / "cache")))
        assert read.partition is not None and read.partition.tolist() == [TRAIN] * 4 + [TEST] * 2
    parts = ["train", "train", "train", "train", "query", "gallery"]
    lines = (f"in/{n}.png,{n[0]},{p}" for n, p in zip(sorted(NAMES), parts, strict=True))
    partition = list_csv(written(images, "image,label,split", *lines)).partition
    assert partition is not None and partition.tolist() == [TRAIN] * 4 + [QUERY, GALLERY]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file,label", "in/a1.png,a"], "expected columns image and label.*found file, label"),
        (["image,label"], "lists no images"),
        (["image,label", "in/a1.png,a", ",a"], "line 3 has no image"),
        (["image,label", "in/a1.png"], "line 2 has no label"),
        (["image,label,split", "in/a1.png,a,val"], "line 2: split must be one of train.*'val'"),
        (["image,label,split", "in/a1.png,a,train", "in/a2.png,a,train"], "found train; add what is missing"),
        (["image,label", "in/a1.png,a", "in/a1.png,b"], "listed twice"),
        (["image,label", "in/a1.png,a", "in/a2.png,a", "in/b1.png,b"], "b"),
        (["image,label", '"in/a1.png,a'], "list.csv"),
    ],
)
def test_what_is_wrong_with_a_list_is_said_with_its_path(images: Path, lines: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list_csv(written(images, *lines))


def test_a_column_source_is_kept_with_each_image(images: Path, tmp_path: Path) -> None:
    lines = (f"in/{name}.png,{name[0]},{'Zoe' if name[1] == '1' else 'Ada'}" for name in NAMES)
    path = written(images, "image,label,source", *lines)
    for resize in ("square", "short_side"):
        read = load(DataConfig("mine", "csv", str(path), 6, resize=resize, cache=str(tmp_path / "cache")))
        assert read.source is not None and read.source.tolist() == [1, 0] * 3 and read.source_names == ["Ada", "Zoe"]
    two = load(DataConfig("mine", "csv", str(path), 6, num_classes=2, resize="square", cache=str(tmp_path / "cache")))
    assert two.source is not None and two.source.tolist() == [1, 0] * 2
    with pytest.raises(ValueError, match="line 2 has no source"):
        list_csv(written(images, "image,label,source", "in/a1.png,a,"))


def test_missing_images_are_counted(images: Path) -> None:
    path = written(images, "image,label", "in/a1.png,a", "in/none.png,a", "in/b1.png,b", "in/b2.png,b")
    with pytest.raises(FileNotFoundError, match="1 of 4 listed images are missing.*none.png"):
        list_csv(path)
