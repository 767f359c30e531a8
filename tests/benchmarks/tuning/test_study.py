"""What a study's file says of its own data set."""

import pytest

from benchmarks.config.compose import options_of
from benchmarks.tuning.study import read_study


@pytest.mark.parametrize("name", options_of("study"))
def test_limits_of_a_studys_own_data_do_not_apply_to_other_data(name: str) -> None:
    own = read_study(name, [])
    others = read_study(name, ["data=npz", "data.path=mine.npz"])
    assert not [text for text in others.overrides if text.startswith("data.") and text != "data.path=mine.npz"]
    assert [text for text in own.overrides if not text.startswith("data.")] == others.overrides[:-1]
    if name in ("smoke", "glyphs_small"):
        assert any(text.startswith("data.num_classes=") for text in own.overrides)
