import shutil
from pathlib import Path

import pytest

from benchmarks.data.listing import Listing
from benchmarks.data.published.cars196 import list_images


def summary(listing: Listing) -> tuple[list[int], list[int]]:
    assert listing.partition is not None
    return listing.labels.tolist(), listing.partition.tolist()


def test_classes_follow_their_ids_and_the_first_98_train(cars196: Path) -> None:
    listing = list_images(cars196)
    assert listing.class_names == ["Car 1", "Car 98", "Car 99", "Car 196"]
    assert [file.name for file in listing.files] == [f"{row:06d}.jpg" for row in (2, 5, 3, 8, 4, 7, 1, 6)]
    assert summary(listing) == ([0, 0, 1, 1, 2, 2, 3, 3], [0, 0, 0, 0, 1, 1, 1, 1])


def test_halves_by_class_folder_give_the_same_rows(cars196: Path, tmp_path: Path) -> None:
    listing = list_images(cars196)
    for file, label in zip(listing.files, listing.labels, strict=True):
        number = (1, 98, 99, 196)[label]
        place = tmp_path / "carDB" / ("train" if number <= 98 else "test") / str(number) / file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    arranged = list_images(tmp_path / "carDB")
    assert summary(arranged) == summary(listing)
    assert [file.name for file in arranged.files] == [file.name for file in listing.files]
    assert arranged.class_names == ["1", "98", "99", "196"]


def test_folders_by_class_name_are_split_by_class_and_not_by_their_own_halves(cars196: Path, tmp_path: Path) -> None:
    base = tmp_path / "kaggle"
    base.mkdir()
    (base / "names.csv").write_text("".join(f"Car {number}/S\n" for number in range(1, 197)))
    annotations: dict[str, str] = {"train": "", "test": ""}
    for row, (file, label) in enumerate(zip(*list_images(cars196)[:2], strict=True)):
        number, half = (1, 98, 99, 196)[label], ("train", "test")[row % 2]
        place = base / "car_data" / "car_data" / half / f"Car {number}-S" / file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
        annotations[half] += f"{file.name},1,1,5,5,{number}\n"
    for half, text in annotations.items():
        (base / f"anno_{half}.csv").write_text(text)
    listing = list_images(base)
    assert listing.class_names == ["Car 1/S", "Car 98/S", "Car 99/S", "Car 196/S"]
    assert summary(listing) == summary(list_images(cars196))


def test_missing_annotations_are_asked_for(cars196: Path) -> None:
    (cars196 / "cars_annos.mat").unlink()
    with pytest.raises(FileNotFoundError, match="found no cars_annos.mat, which has the class of each image"):
        list_images(cars196)


def test_unreadable_annotations_are_refused_by_path(cars196: Path) -> None:
    (cars196 / "cars_annos.mat").write_bytes(b"<html>not found</html>" * 20)
    with pytest.raises(ValueError, match="cars_annos.mat: not the annotations of Cars196"):
        list_images(cars196)


def test_missing_images_are_counted_and_the_first_named(cars196: Path) -> None:
    (cars196 / "car_ims" / "000005.jpg").unlink()
    (cars196 / "car_ims" / "000001.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"2 of 8 listed images are missing, the first is .*000005.jpg"):
        list_images(cars196)
