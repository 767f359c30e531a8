from pathlib import Path

import pytest

from benchmarks.data.arrays import GALLERY, QUERY, TRAIN
from benchmarks.data.listing import Listing, find_base, require_counts, require_files


def listing() -> Listing:
    rows = [
        (QUERY, 4, "d", "1"),
        (GALLERY, 4, "d", "0"),
        (TRAIN, 9, "i", "0"),
        (TRAIN, 9, "i", "1"),
        (TRAIN, 1, "a", "0"),
    ]
    return Listing.of((part, number, name, Path(f"{name}{file}")) for part, number, name, file in rows)


def test_training_classes_come_first_and_queries_before_their_gallery() -> None:
    made = listing()
    assert [str(file) for file in made.files] == ["a0", "i0", "i1", "d1", "d0"]
    assert (made.labels.tolist(), made.class_names) == ([0, 1, 1, 2, 2], ["a", "i", "d"])
    assert made.counts() == {"training": (2, 3), "query": (1, 1), "gallery": (1, 1)}


def test_class_subset_keeps_files_beside_their_labels() -> None:
    subset = listing().with_classes(2)
    assert [str(file) for file in subset.files] == ["a0", "i0", "i1"]
    assert (subset.labels.tolist(), subset.class_names) == ([0, 1, 1], ["a", "i"])
    assert subset.partition is not None and subset.partition.tolist() == [0, 0, 0]


def test_other_counts_than_the_published_are_refused_part_by_part() -> None:
    require_counts(listing(), {"training": (2, 3), "query": (1, 1), "gallery": (1, 1)}, Path("here"))
    with pytest.raises(ValueError) as refused:
        require_counts(listing(), {"training": (2, 3000), "query": (1, 1), "gallery": (2, 1)}, Path("here"))
    message = str(refused.value)
    assert message.startswith(
        "here: expected 3,000 training images of 2 classes, but found 3 of 2; 1 gallery images of 2"
    )
    assert "query" not in message and "data.verify=false" in message


def test_missing_files_are_counted_and_the_first_named() -> None:
    with pytest.raises(FileNotFoundError, match="here: 5 of 5 listed images are missing, the first is a0"):
        require_files(listing(), Path("here"))


def test_base_is_the_folder_itself_before_one_in_it(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "list.txt").touch()
    assert find_base(tmp_path, ["list.txt"], "data", "a list") == tmp_path / "inner"
    (tmp_path / "list.txt").touch()
    assert find_base(tmp_path, ["list.txt"], "data", "a list") == tmp_path


def test_missing_folder_says_what_was_expected_in_it(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match="none: no such folder; data.path must name the folder that holds DATA: a list"
    ):
        find_base(tmp_path / "none", ["list.txt"], "DATA", "a list")
