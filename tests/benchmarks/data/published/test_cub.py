import shutil
from pathlib import Path

import pytest

from benchmarks.data.published.cub import list_images


def test_classes_follow_their_numbers_and_the_first_hundred_train(cub: Path) -> None:
    listing = list_images(cub)
    numbers = [int(name[:3]) for name in listing.class_names]
    assert numbers == [2, 10, 100, 101, 200]
    assert listing.labels.tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert listing.partition is not None and listing.partition.tolist() == [0] * 7 + [1] * 4
    assert all(file.parent.name == listing.class_names[label] for file, label in zip(*listing[:2], strict=True))


def test_the_folder_above_will_do_too(cub: Path) -> None:
    assert list_images(cub.parent).files == list_images(cub).files


def test_lists_beside_the_images_are_not_needed(cub: Path) -> None:
    expected = list_images(cub).files
    (cub / "images.txt").unlink()
    (cub / "images" / "._002.Albatross").write_bytes(b"\0")
    assert list_images(cub).files == expected


def test_image_that_the_list_names_but_is_missing_is_named(cub: Path) -> None:
    lost = list_images(cub).files[4]
    lost.unlink()
    with pytest.raises(FileNotFoundError, match=f"1 images are missing .*{lost.name}.* 0 are not listed"):
        list_images(cub)


def test_class_folder_without_a_number_is_refused(cub: Path) -> None:
    (cub / "images" / "Crow").mkdir()
    with pytest.raises(ValueError, match="Crow: expected a class folder named like 001"):
        list_images(cub)


def test_folder_without_images_says_what_is_expected(cub: Path) -> None:
    shutil.rmtree(cub / "images")
    with pytest.raises(FileNotFoundError, match="found no CUB-200-2011 here; expected CUB_200_2011/images/NNN.name"):
        list_images(cub)
