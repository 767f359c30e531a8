"""What a suite sets for its own data set alone."""

import pytest

from benchmarks.config.compose import options_of
from benchmarks.config.lists import list_kinds, read_suite


@pytest.mark.parametrize("name", [name for name in options_of("suite") if name != "published"])
def test_limits_of_a_suites_own_data_do_not_apply_to_other_data(name: str) -> None:
    one = "comparisons=[{loss:triplet,methods:[none]}]"
    suite, overrides = read_suite(name, ["data=[npz]", "data.path=mine.npz", one])
    ((config, _),) = list_kinds(suite, overrides)["npz"]
    assert config.data.num_classes is None and config.data.image_size is None
