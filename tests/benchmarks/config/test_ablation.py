"""Which trainings an ablation lists."""

import pytest

from benchmarks.config.ablation import differing_keys, read_ablation
from benchmarks.config.compose import compose, options_of
from benchmarks.errors import UserError


def test_a_method_stands_beside_its_baseline_and_its_controls() -> None:
    suite, rest, controls = read_ablation("iaa", ["suite=standard", "losses=[triplet]", "seeds=[4]", "threads=1"])
    names = ["iaa_shuffled", "iaa_shared", "iaa_isotropic"]
    assert [(each.loss, each.methods) for each in suite.comparisons] == [("triplet", ["none", "iaa", *names])]
    assert list(controls) == names and controls["iaa_shared"].endswith("(wrapper.variances=shared)")
    assert (suite.seeds, suite.runs, rest) == ([4], "runs/ablate_iaa", ["threads=1"])


def test_losses_are_those_that_the_suite_compares_the_method_with() -> None:
    suite, _, controls = read_ablation("idml_no_mixup", ["suite=standard", "runs=elsewhere"])
    assert [each.loss for each in suite.comparisons] == ["proxy_anchor"] and suite.runs == "elsewhere"
    assert controls == {"idml_no_mixup_random": "head.shuffle_uncertainty=true"}


@pytest.mark.parametrize(
    ("method", "overrides", "sentence"),
    [
        ("eee", [], "unknown method 'eee'; the nearest known one is 'ee'"),
        ("mixup", ["losses=[triplet]"], "method=mixup names no control"),
        ("ee", ["losses=triplet"], "losses must be a list such as [triplet], but got 'triplet'"),
        ("ee", ["losses=[]"], "losses must be a list such as [triplet], but got []"),
        ("ee", ["losses=[tripelt]"], "the nearest known one is 'triplet'"),
        ("iaa_ee", ["suite=smoke"], "suite=smoke compares iaa_ee with no loss"),
        ("ee", ["suite=smok"], "the nearest known one is 'smoke'"),
        ("ee", ["suite=smoke", "sedes=[1]"], "the nearest known one is 'seeds'"),
    ],
)
def test_a_wrong_word_is_refused(method: str, overrides: list[str], sentence: str) -> None:
    with pytest.raises(UserError) as refusal:
        read_ablation(method, overrides)
    assert sentence in str(refusal.value)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ee", "iaa", "ps", "idml", "idml_no_mixup"])
def test_each_control_differs_from_its_method_and_has_none_itself(method: str) -> None:
    of_method = compose([f"method={method}"])[0].method
    assert of_method.controls
    for control in of_method.controls:
        of_control = compose([f"method={control}"])[0].method
        assert list(differing_keys(of_method, of_control)) and not of_control.controls


def test_what_a_control_searches_is_what_its_method_searches() -> None:
    searched = set(options_of("space/method"))
    for method in ("ee", "iaa", "ps", "idml", "idml_no_mixup"):
        assert {method, *compose([f"method={method}"])[0].method.controls} <= searched
