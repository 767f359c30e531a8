import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import torch

from pml_aug.validation import check_choice, check_flag, check_integer, check_number, checked_rows


@pytest.mark.parametrize("value", [0, 0.5, 1, np.float32(0.25), np.float64(1), np.int64(0)])
def test_numbers_within_the_bounds_pass(value: Any) -> None:
    check_number("ratio", value, minimum=0, maximum=1)


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (-0.1, {"minimum": 0}, "^x must be at least 0, but got -0.1$"),
        (0, {"above": 0}, "^x must be above 0, but got 0$"),
        (1.0, {"minimum": 0, "below": 1}, "^x must be at least 0 and below 1, but got 1.0$"),
        (2, {"minimum": 0, "maximum": 1}, "^x must be between 0 and 1, but got 2$"),
        (math.nan, {"above": 0}, "^x must be above 0, but got nan$"),
        (math.nan, {}, "^x must be a number, but got nan$"),
        (math.nan, {"finite": False}, "^x must be a number, but got nan$"),
        (math.inf, {}, "^x must be finite, but got inf$"),
        (math.inf, {"above": 0}, "^x must be above 0 and finite, but got inf$"),
        (-math.inf, {"maximum": 1}, "^x must be at most 1 and finite, but got -inf$"),
        (10**400, {"minimum": 0}, "^x must be at least 0 and finite, but got 1000"),
        (-(10**400), {"minimum": 0}, "^x must be at least 0, but got -1000"),
        (np.float32("nan"), {"minimum": 0}, "^x must be at least 0, but got nan$"),
        (0, {"above": 0, "hint": "leave it out"}, "^x must be above 0, but got 0; leave it out$"),
    ],
)
def test_numbers_out_of_bounds_are_refused_by_name(value: Any, bounds: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_number("x", value, **bounds)


def test_infinity_passes_where_it_has_a_meaning() -> None:
    check_number("tau", math.inf, above=0, finite=False)


@pytest.mark.parametrize("value", [True, np.bool_(True), "1", None, 1j, Decimal(1), [1.0]])
def test_what_is_not_a_number_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="^x must be a number, but got "):
        check_number("x", value)


def test_a_tensor_is_refused_without_its_values() -> None:
    with pytest.raises(TypeError, match="^x must be a number, but got a Tensor$"):
        check_number("x", torch.ones(3))


@pytest.mark.parametrize("value", [1.5, 2.0, np.float64(2), True, np.bool_(True), "2", None, math.nan])
def test_only_integers_pass_as_integers(value: Any) -> None:
    with pytest.raises(TypeError, match="^num_points must be an integer, but got "):
        check_integer("num_points", value, minimum=0)


def test_integers_from_the_minimum_on_pass() -> None:
    check_integer("num_points", 0, minimum=0)
    check_integer("num_points", np.int64(3), minimum=0)
    with pytest.raises(ValueError, match="^num_points must be at least 0, but got -1$"):
        check_integer("num_points", -1, minimum=0)


@pytest.mark.parametrize("value", ["mea", None, 0, ["sum"]])
def test_other_choices_are_refused_with_those_that_exist(value: Any) -> None:
    check_choice("combine", "mean", ("sum", "mean"))
    with pytest.raises(ValueError, match="^combine must be one of 'sum', 'mean', but got "):
        check_choice("combine", value, ("sum", "mean"))


@pytest.mark.parametrize("value", [0, 1, "false", None])
def test_flags_are_true_or_false(value: Any) -> None:
    check_flag("normalize", False)
    with pytest.raises(TypeError, match="^normalize must be True or False, but got "):
        check_flag("normalize", value)


def test_rows_whose_sum_overflows_are_finite_all_the_same() -> None:
    rows = torch.full((4, 2), 3e38)
    assert checked_rows(rows, torch.arange(4), "embeddings", "labels")[0] is rows


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_rows_that_hold_nan_or_infinity_are_refused(value: float) -> None:
    rows = torch.tensor([[1.0, value], [-value, 0.0]])
    with pytest.raises(ValueError, match="`ref_emb` must be finite"):
        checked_rows(rows, torch.arange(2), "ref_emb", "ref_labels")
