import base64
import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.errors import UserError
from benchmarks.report.gallery import gallery
from benchmarks.report.summary import summarize
from benchmarks.runs.reader import read_runs


def write_gallery(canned, folder, right, channels=1, size=8):
    """Five queries with three neighbours each; ``right``: how many of them have the query's class."""
    neighbor_label = np.array([[7] * count + [9] * (3 - count) for count in right])
    np.savez(
        folder / "gallery.npz",
        query=np.arange(5),
        query_label=np.full(5, 7),
        neighbor_label=neighbor_label,
        query_image=np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((5, size, size, channels), np.uint8),
        neighbor_image=np.full((5, 3, size, size, channels), 40, np.uint8),
    )
    canned.reseal(folder)


def picture(uri: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))


@pytest.fixture
def folders(canned):
    return canned.write("triplet", seed=0), canned.write("triplet", "ee", seed=0)


def made(canned):
    return gallery(summarize(read_runs(canned.root)).comparisons[0])


def test_shown_are_those_that_differ_most_and_those_that_agree(canned, folders):
    write_gallery(canned, folders[0], right=[0, 3, 3, 1, 1])
    write_gallery(canned, folders[1], right=[1, 0, 3, 1, 3])
    result = made(canned)
    assert [(shown.kind, int(picture(shown.image)[0, 0])) for shown in result.shown] == [
        ("more correct", 4), ("more correct", 0), ("fewer correct", 1), ("as many correct", 3), ("as many correct", 2),
    ]  # fmt: skip
    assert (result.more, result.fewer, result.same) == (2, 1, 2)
    assert [neighbor.right for neighbor in result.shown[0].method] == [True, True, True]
    assert [neighbor.right for neighbor in result.shown[0].baseline] == [True, False, False]


def test_only_the_lowest_seed_and_fold_are_looked_at(canned):
    canned.suite(["triplet"], ["ee"], seeds=2, folds=2)
    assert (made(canned).seed, made(canned).fold) == (0, 0)


def test_when_all_agree_nothing_is_said_to_differ(canned, folders):
    for folder in folders:
        write_gallery(canned, folder, right=[2, 2, 2, 2, 2])
    assert {shown.kind for shown in made(canned).shown} == {"as many correct"}


def test_colour_pictures_keep_their_colours_and_shrink(canned, folders):
    for folder in folders:
        write_gallery(canned, folder, right=[0] * 5, channels=3, size=200)
    assert picture(made(canned).shown[0].image).shape == (96, 96, 3)


def test_galleries_of_different_queries_are_refused(canned, folders):
    with np.load(folders[1] / "gallery.npz") as arrays:
        np.savez(folders[1] / "gallery.npz", **{**arrays, "query": arrays["query"] + 1})
    canned.reseal(folders[1])
    with pytest.raises(UserError, match="show different queries"):
        made(canned)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn"])
def test_an_unreadable_gallery_is_damage_by_path(canned, folders, content):
    (folders[1] / "gallery.npz").write_bytes(content)
    canned.reseal(folders[1])
    with pytest.raises(UserError, match=f"{folders[1].name}/gallery.npz: not a readable npz file"):
        made(canned)


def test_a_gallery_whose_arrays_do_not_fit_together_is_damage(canned, folders):
    with np.load(folders[1] / "gallery.npz") as arrays:
        np.savez(folders[1] / "gallery.npz", **{**arrays, "query_label": arrays["query_label"][1:]})
    canned.reseal(folders[1])
    with pytest.raises(UserError, match="its arrays do not fit together"):
        made(canned)
