from pathlib import Path

import numpy as np
import pytest

from benchmarks.data.published.inshop import list_images
from benchmarks.data.split import class_disjoint_split


def test_items_are_ordered_within_each_side_and_queries_kept_from_the_gallery(inshop: Path) -> None:
    listing = list_images(inshop)
    assert listing.class_names == [f"id_{item:08d}" for item in (3, 7, 1, 5)]
    assert listing.labels.tolist() == [0, 1, 1, 2, 2, 2, 3, 3, 3]
    assert listing.partition is not None and listing.partition.tolist() == [0, 0, 0, 2, 3, 3, 2, 3, 3]
    assert [file.name[:2] for file in listing.files[3:]] == ["00", "01", "02", "01", "00", "02"]


@pytest.mark.parametrize("above", [False, True])
def test_folder_as_published_is_found_by_its_own_path_and_from_above(inshop: Path, above: bool) -> None:
    names = [file.relative_to(inshop) for file in list_images(inshop).files]
    (inshop / "Eval").mkdir()
    (inshop / "Img").mkdir()
    (inshop / "list_eval_partition.txt").rename(inshop / "Eval" / "list_eval_partition.txt")
    (inshop / "img").rename(inshop / "Img" / "img")
    files = list_images(inshop.parent if above else inshop).files
    assert [file.relative_to(inshop / "Img") for file in files] == names


@pytest.mark.parametrize("same", ["img/", "./img/", "img/../img/"])
@pytest.mark.parametrize("status", ["query", "gallery"])
def test_image_that_is_listed_twice_is_refused_because_it_would_find_itself(
    inshop: Path, same: str, status: str
) -> None:
    path = inshop / "list_eval_partition.txt"
    queries = [line for line in path.read_text().splitlines() if line.endswith(" query")]
    path.write_text(path.read_text() + queries[0].replace("img/", same, 1).replace("query", status) + "\n")
    with pytest.raises(ValueError, match="listed twice, so the image would find itself"):
        list_images(inshop)


def test_unknown_status_is_refused_by_line(inshop: Path) -> None:
    path = inshop / "list_eval_partition.txt"
    path.write_text(path.read_text().replace(" query", " probe", 1))
    with pytest.raises(
        ValueError, match="line 7 is .* probe', but expected an image, its item, and one of train, query"
    ):
        list_images(inshop)


def test_split_searches_the_gallery_with_the_queries(inshop: Path) -> None:
    listing = list_images(inshop)
    assert listing.partition is not None
    labels = np.concatenate([listing.labels, np.arange(10, 20)])  # two training items are too few for two folds
    split = class_disjoint_split(labels, 0, 2, np.concatenate([listing.partition, np.zeros(10)]))
    assert split.test.tolist() == [3, 6]
    assert split.gallery is not None and split.gallery.tolist() == [4, 5, 7, 8]
