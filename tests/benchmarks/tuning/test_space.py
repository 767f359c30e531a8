from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from benchmarks.config.compose import compose, options_of
from benchmarks.errors import UserError
from benchmarks.tuning.final import FinalConfig
from benchmarks.tuning.space import declared_values, describe, on_edge, parse_space, read_space
from benchmarks.tuning.study import read_study

REALITY_CHECK = {"arcface", "contrastive", "cosface", "multi_similarity", "normalized_softmax", "nt_xent", "proxy_nca"}


@pytest.mark.slow
def test_every_space_of_a_loss_holds_its_declared_values() -> None:
    assert {*REALITY_CHECK, "proxy_anchor", "soft_triple", "triplet"} <= set(options_of("space/loss"))
    for loss in options_of("space/loss"):
        space = read_space("loss", loss)
        assert declared_values(space, compose([f"loss={loss}"])[0]).keys() == space.keys()


@pytest.mark.slow
def test_every_space_of_a_method_holds_its_declared_values() -> None:
    assert set(options_of("space/method")) == set(options_of("method")) - {"none"}
    for method in options_of("space/method"):
        space = read_space("method", method)
        assert declared_values(space, compose([f"method={method}"])[0]).keys() == space.keys()


def test_the_learning_rate_of_proxies_is_searched_on_a_logarithmic_scale() -> None:
    described = describe(read_space("loss", "proxy_nca")["loss.proxy_lr"])
    assert described == {"low": 1e-6, "high": 1, "log": True}


def parsed(text: str, folder: Path) -> dict:
    file = folder / "made.yaml"
    file.write_text(text)
    return parse_space("loss", file)


def test_a_space_is_ranges_integers_and_choices(tmp_path: Path) -> None:
    space = parsed(
        "loss.a: {low: 1, high: 8, integer: true}\nloss.b: {choices: [x, y]}\nloss.c: {low: 0, high: 1}", tmp_path
    )
    assert space == {
        "loss.a": IntDistribution(1, 8),
        "loss.b": CategoricalDistribution(["x", "y"]),
        "loss.c": FloatDistribution(0, 1),
    }
    assert describe(space["loss.b"]) == {"choices": ["x", "y"]}
    assert describe(space["loss.a"]) == {"low": 1, "high": 8, "log": False, "integer": True}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "expected `KEY: {low: .., high: ..}` lines, but got None"),
        ("method.wrapper.alpha: {low: 0, high: 1}", "keys that begin with 'loss.', but got 'method.wrapper.alpha'"),
        ("loss.a: {lwo: 0, high: 1}", "unknown word 'lwo'; the nearest known one is 'low'"),
        ("loss.a: {low: 1, high: 0}", "expected numbers low < high, but got low=1 high=0"),
        ("loss.a: {low: 0.5, high: 3, integer: true}", "expected integers low < high, but got low=0.5"),
        ("loss.a: {low: 0, high: 1, log: true}", "loss.a"),  # a logarithm of zero
        ("loss.a: {choices: [1]}", "two or more"),
        ("loss.a: 3", "expected {low: .., high: ..} or {choices: [..]}, but got 3"),
    ],
)
def test_what_is_no_space_is_refused_with_its_file(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refusal:
        parsed(text, tmp_path)
    assert sentence in str(refusal.value) and "made.yaml" in str(refusal.value)


def test_a_key_that_no_config_has_is_refused_with_the_nearest_one() -> None:
    config, _ = compose(["loss=triplet"])
    with pytest.raises(UserError, match="'loss.criterion.margni'; the nearest known one is 'loss.criterion.margin'"):
        declared_values({"loss.criterion.margni": FloatDistribution(0, 1)}, config)


@pytest.mark.parametrize("outside", [FloatDistribution(0.3, 1), IntDistribution(0, 1), CategoricalDistribution(["x"])])
def test_a_declared_value_outside_its_space_is_refused(outside: FloatDistribution) -> None:
    config, _ = compose(["loss=triplet", "loss.criterion.margin=0.2"])
    with pytest.raises(UserError, match="loss.criterion.margin=0.2 lies outside its search space"):
        declared_values({"loss.criterion.margin": outside}, config)


def test_a_loss_without_a_space_is_refused_with_the_nearest_one_and_the_file_to_write() -> None:
    with pytest.raises(
        UserError, match="'tripelt'; the nearest known one is 'triplet'; declare it in configs/space/loss"
    ):
        read_space("loss", "tripelt")


@pytest.mark.parametrize(
    ("distribution", "value", "flagged"),
    [
        (FloatDistribution(0, 2), 0.09, True),
        (FloatDistribution(0, 2), 0.11, False),
        (FloatDistribution(0, 2), 1.95, True),
        (FloatDistribution(1e-6, 1, log=True), 1.9e-6, True),  # 4.6 % of six decades
        (FloatDistribution(1e-6, 1, log=True), 2.1e-6, False),
        (IntDistribution(1, 8), 8, True),
        (IntDistribution(1, 8), 7, False),
        (CategoricalDistribution(["x", "y"]), "x", False),
    ],
)
def test_an_optimum_near_an_end_of_its_range_is_flagged(
    distribution: FloatDistribution, value: float, flagged: bool
) -> None:
    assert on_edge({"key": distribution}, {"key": value}) == (["key"] if flagged else [])


@pytest.mark.parametrize("name", options_of("study"))
def test_every_study_has_the_spaces_it_searches_and_a_seed_that_no_final_run_has(name: str) -> None:
    study = read_study(name, [])
    for comparison in study.comparisons:
        assert read_space("loss", comparison.loss) and comparison.loss in options_of("loss")
        assert comparison.methods[0] == "none" and set(comparison.methods) <= set(options_of("method"))
        assert all(read_space("method", method) for method in comparison.methods[1:])
    assert study.seed not in FinalConfig(runs="").seeds and study.data in options_of("data")
