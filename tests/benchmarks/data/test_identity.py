from typing import Any

import pytest

from benchmarks.config.compose import compose
from benchmarks.data.identity import identity
from benchmarks.data.published.sets import PUBLISHED


def group(*overrides: str) -> dict[str, Any]:
    return compose(overrides)[0].data


@pytest.mark.parametrize("kind", PUBLISHED)
def test_place_and_handling_of_a_verified_set_do_not_name_a_run(kind: str) -> None:
    elsewhere = [f"data.{setting}" for setting in ("path=/a", "cache=/b", "workers=7", "download=true")]
    here, there = compose([f"data={kind}"])[0].identity(), compose([f"data={kind}", *elsewhere])[0].identity()
    assert here == there and here["data"]["image_size"] == 256


@pytest.mark.parametrize("change", ["data.image_size=128", "data.resize=square", "data.num_classes=50"])
def test_what_changes_the_images_names_a_run(change: str) -> None:
    assert identity(group("data=cub")) != identity(group("data=cub", change))


@pytest.mark.parametrize("data", [["data=folder"], ["data=npz"], ["data=cub", "data.verify=false"]])
def test_path_names_a_run_where_nothing_else_tells_the_images(data: list[str]) -> None:
    assert identity(group(*data, "data.path=a")) != identity(group(*data, "data.path=b"))
