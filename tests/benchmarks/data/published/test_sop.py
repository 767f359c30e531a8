from pathlib import Path

import pytest

from benchmarks.data.published.sop import list_images


def test_lists_say_the_halves_and_classes_follow_their_ids(sop: Path) -> None:
    listing = list_images(sop)
    assert listing.class_names == ["2 bicycle", "10 bicycle", "11 bicycle", "12 bicycle"]
    assert listing.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert listing.partition is not None and listing.partition.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [file.name for file in listing.files[:3]] == ["1002_0.JPG", "1002_1.JPG", "1010_0.JPG"]


def test_the_folder_above_will_do_too(sop: Path) -> None:
    assert list_images(sop.parent).files == list_images(sop).files


def test_missing_list_is_named(sop: Path) -> None:
    (sop / "Ebay_test.txt").unlink()
    with pytest.raises(FileNotFoundError, match="found no Ebay_test.txt"):
        list_images(sop)


def test_line_of_another_form_is_refused_by_number(sop: Path) -> None:
    with open(sop / "Ebay_train.txt", "a") as file:
        file.write("9 bicycle_final/9.JPG\n")
    with pytest.raises(ValueError, match="Ebay_train.txt: line 6 is '9 bicycle_final/9.JPG', but expected image_id"):
        list_images(sop)


def test_class_in_both_lists_is_refused(sop: Path) -> None:
    text = (sop / "Ebay_test.txt").read_text().replace(" 12 1 ", " 10 1 ")
    (sop / "Ebay_test.txt").write_text(text)
    with pytest.raises(ValueError, match="its class 10 bicycle is in both the training and the test part"):
        list_images(sop)
