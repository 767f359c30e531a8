from pathlib import Path
from typing import Any

import pytest

from benchmarks.config.compose import compose, options_of
from benchmarks.config.data import KINDS, PUBLISHED_KINDS, DataConfig
from benchmarks.data.decode_cache import store_path
from benchmarks.data.decoding import Form
from benchmarks.data.published.sets import PUBLISHED
from benchmarks.errors import UserError


def group(*overrides: str) -> DataConfig:
    return compose(overrides)[0].data


def test_kinds_are_those_of_the_files_and_of_the_readers() -> None:
    assert set(KINDS) <= set(options_of("data"))
    assert all(group(f"data={kind}").kind == kind for kind in KINDS)
    assert set(PUBLISHED_KINDS) == set(PUBLISHED)


@pytest.mark.parametrize("kind", PUBLISHED_KINDS)
def test_place_and_handling_of_a_verified_set_do_not_name_a_run(kind: str) -> None:
    elsewhere = [f"data.{setting}" for setting in ("path=/a", "cache=/b", "workers=7", "download=true")]
    here, there = compose([f"data={kind}"])[0].identity(), compose([f"data={kind}", *elsewhere])[0].identity()
    assert here == there and here["data"]["image_size"] == 256


@pytest.mark.parametrize("change", ["data.image_size=128", "data.resize=square", "data.num_classes=50"])
def test_what_changes_the_images_names_a_run(change: str) -> None:
    assert group("data=cub").identity() != group("data=cub", change).identity()


@pytest.mark.parametrize("data", [["data=folder"], ["data=npz"], ["data=cub", "data.verify=false"]])
def test_path_names_a_run_where_nothing_else_tells_the_images(data: list[str]) -> None:
    assert group(*data, "data.path=a").identity() != group(*data, "data.path=b").identity()


def test_shares_that_the_audit_allows_do_not_name_a_run() -> None:
    strict = DataConfig("mine", "npz", "mine.npz")
    assert (
        DataConfig("mine", "npz", "mine.npz", twins_allowed=0.5, identical_allowed=0.5).identity() == strict.identity()
    )


CUB: dict[str, Any] = {"name": "cub", "kind": "cub", "path": "cub", "resize": "short_side", "cache": "cache"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "cubs"}, "unknown data.kind 'cubs'; the nearest known one is 'cub'"),
        ({"image_size": 0}, "data.image_size must be null or between 1 and 8192, but got 0"),
        ({"image_size": 99_999_999}, "data.image_size must be null or between 1 and 8192, but got 99999999"),
        ({"num_classes": 1}, "data.num_classes must be null or at least 2, but got 1"),
        ({"workers": 0}, "data.workers must be null or between 1 and 1024, but got 0"),
        ({"workers": 10**6}, "data.workers must be null or between 1 and 1024"),
        ({"resize": "crop"}, "data.resize must be one of square, short_side, but got 'crop'"),
        ({"resize": None}, "data.resize must be one of square, short_side, but got None"),
        ({"resize": "square"}, "data.resize=square needs the side: set data.image_size"),
        ({"cache": None}, "data.cache is missing"),
        ({"cache": ""}, "data.cache is missing"),
        ({"twins_allowed": float("nan")}, "data.twins_allowed must be a share between 0 and 1, but got nan"),
        ({"identical_allowed": 1.5}, "data.identical_allowed must be a share between 0 and 1, but got 1.5"),
        ({"kind": "npz"}, "data.resize has no effect with data.kind=npz"),
        ({"kind": "folder", "verify": True}, "data.verify has no effect with data.kind=folder: it is for cub, cars196"),
    ],
)
def test_impossible_values_are_refused_by_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DataConfig(**CUB | changes)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".x", "../../x", "a/b", "/etc", r"a\b", "a\nb", "a\0b", "\udc80", "ü" * 101]
)
def test_name_that_leads_elsewhere_or_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="data.name must be a name of 1 to 200 bytes"):
        DataConfig(**CUB | {"name": name})


@pytest.mark.parametrize("name", ["cub", "my birds (2)", "Vögel", "a.b-c_d", "ü" * 100])
def test_ordinary_names_stay_directly_inside_the_cache(name: str, tmp_path: Path) -> None:
    config = DataConfig(**CUB | {"name": name})
    store = store_path([], Form(8, "square", upright=True), tmp_path, config.name)
    assert store.resolve().parent == tmp_path.resolve()
    store.with_name(f"{store.name}.unfinished").mkdir()


@pytest.mark.parametrize(
    "override",
    ["data.image_size=99999999", "data.name=../../x", "data.twins_allowed=nan", "data.kind=[1]", "data.image_size=2.5"],
)
def test_the_command_line_refuses_them_too(override: str) -> None:
    with pytest.raises(UserError, match="^data[.]|^unknown data[.]"):
        compose(["data=cub", override])
