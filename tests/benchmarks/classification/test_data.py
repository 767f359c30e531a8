"""Which images train and test."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.classification.data import identical_images, list_classification, load_classification
from benchmarks.config.classification import compose_classification
from benchmarks.config.classification_data import ClassificationData
from benchmarks.errors import UserError

Save = Callable[..., Path]


def test_held_out_faces_test_and_every_class_is_on_both_sides() -> None:
    data, split = load_classification(compose_classification(["data.num_classes=40"])[0].data)
    assert data.source is not None and len(split.val) == 0
    faces = [{data.source_names[face] for face in np.unique(data.source[rows])} for rows in (split.train, split.test)]
    assert not faces[0] & faces[1] and all(name.startswith("DejaVuSerif") for name in faces[1])
    for rows in (split.train, split.test):
        assert np.unique(data.labels[rows]).tolist() == list(range(40))
    assert identical_images(data, split) == 0


def test_faces_that_do_not_exist_are_refused() -> None:
    config = ClassificationData("faces", "glyphs", held_out=["Comic"])
    with pytest.raises(ValueError, match="some of the font faces, but not all: DejaVuSans,"):
        load_classification(config)


@pytest.fixture
def folder(tmp_path: Path, save: Save) -> Path:
    for number, name in enumerate(["n02", "n01"]):
        for image in range(3):
            save(tmp_path / "train" / name / f"{image}.JPEG", 10 * number + image)
        save(tmp_path / "val" / name / "v.JPEG", 100 + number)
    return tmp_path


def test_folders_are_numbered_as_torchvision_does(folder: Path, tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder

    listing = list_classification(folder, is_imagenet=True)
    for half, part in (("train", 0), ("val", 1)):
        expected = [(Path(file), label) for file, label in ImageFolder(str(folder / half)).samples]
        rows = np.flatnonzero(listing.partition == part)
        assert [(listing.files[row], int(listing.labels[row])) for row in rows] == expected


def test_images_of_a_folder_are_decoded_once_and_kept(folder: Path, tmp_path: Path) -> None:
    words = [f"data.path={folder}", "data.name=mine", "data.image_size=16", f"data.cache={tmp_path / 'cache'}"]
    data, split = load_classification(compose_classification(["data=folder", *words])[0].data)
    assert data.images.shape == (8, 16, 16, 3) and (len(split.train), len(split.test)) == (6, 2)
    assert len([path for path in (tmp_path / "cache").glob("mine-*") if path.is_dir()]) == 1


def test_an_incomplete_imagenet_is_refused_and_a_missing_one_named(folder: Path, tmp_path: Path) -> None:
    config, _ = compose_classification(["data=imagenet", f"data.path={folder}"])
    with pytest.raises(ValueError, match=r"expected \(1000, 1281167, 50000\) .* but found \(2, 6, 2\)"):
        load_classification(config.data)
    with pytest.raises(FileNotFoundError, match=r"expected train/CLASS/ and val/CLASS/ .*ILSVRC2012_img_train.tar"):
        list_classification(tmp_path / "nowhere", is_imagenet=True)


def test_classes_must_be_the_same_on_both_sides(folder: Path, save: Save) -> None:
    save(folder / "val" / "n03" / "v.JPEG", 7)
    with pytest.raises(ValueError, match="must have the same two or more classes, but differ in n03"):
        list_classification(folder, is_imagenet=False)


def test_keys_of_another_kind_are_refused() -> None:
    with pytest.raises(UserError, match="data.verify has no effect with data.kind=glyphs"):
        ClassificationData("faces", "glyphs", held_out=["STIX"], verify=True)
