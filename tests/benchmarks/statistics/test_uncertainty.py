import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from benchmarks.statistics import (
    area_under_risk_coverage,
    auroc,
    brier_skill,
    calibration_error,
    match_probability,
    reliability,
    risk_coverage,
    severity_correlation,
)


def test_ties_count_as_the_mean_over_their_orders() -> None:
    random = np.random.default_rng(0)
    scores, wrong = random.integers(4, size=60).astype(float), random.integers(2, size=60)
    jittered = [risk_coverage(scores + 1e-6 * random.random(60), wrong) for _ in range(4000)]
    np.testing.assert_allclose(np.mean(jittered, axis=0), risk_coverage(scores, wrong), atol=0.03)
    assert risk_coverage(scores, wrong)[-1] == pytest.approx(wrong.mean())


def test_the_area_is_the_error_rate_without_knowledge_and_least_with_all_of_it() -> None:
    random = np.random.default_rng(1)
    wrong = random.random(20_000) < 0.3
    assert area_under_risk_coverage(random.random(20_000), wrong) == pytest.approx(0.3, abs=0.01)
    # with a share e of errors all at the end: the integral of (c - 1 + e) / c from 1 - e to 1
    share = wrong.mean()
    assert area_under_risk_coverage(wrong, wrong) == pytest.approx(share + (1 - share) * np.log(1 - share), abs=1e-3)
    assert area_under_risk_coverage(~wrong, wrong) > 0.6


@pytest.mark.parametrize("tied", [False, True])
def test_auroc_is_that_of_scikit_learn(tied: bool) -> None:
    random = np.random.default_rng(2)
    positive = random.random(200) < 0.3
    scores = random.normal(size=200) + positive
    scores = scores.round() if tied else scores
    assert auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)
    assert auroc(scores, np.zeros(200)) is None and auroc(scores, np.ones(200)) is None


def test_the_correlation_with_severity_is_scipys_of_each_query() -> None:
    scores = np.random.default_rng(3).normal(size=(6, 40)) + 0.3 * np.arange(6)[:, None]
    expected = [stats.spearmanr(np.arange(6), column).statistic for column in scores.T]
    assert severity_correlation(scores) == pytest.approx(np.mean(expected))
    assert severity_correlation(np.ones((6, 3))) == 0


def test_the_probabilities_are_a_logistic_regression_on_the_other_half_of_the_classes() -> None:
    random = np.random.default_rng(4)
    labels = random.integers(10, size=600)
    inputs = random.normal(size=(2, 600))
    right = (random.random(600) < 1 / (1 + np.exp(-(1 + 2 * inputs[0] - inputs[1])))).astype(float)
    found = match_probability(inputs, right, labels)
    judged = labels % 2 == 0
    rows = ((inputs - inputs[:, ~judged].mean(1, keepdims=True)) / inputs[:, ~judged].std(1, keepdims=True)).T
    model = LogisticRegression(C=1 / (1e-3 * (~judged).sum()), tol=1e-10).fit(rows[~judged], right[~judged])
    np.testing.assert_allclose(found[judged], model.predict_proba(rows[judged])[:, 1], atol=1e-5)
    assert calibration_error(found, right) < 0.08 and 0.2 < brier_skill(found, right) < 0.6


@pytest.mark.parametrize("separated", [True, False])
def test_scores_that_separate_perfectly_or_not_at_all_are_no_trouble(separated: bool) -> None:
    labels, right = np.arange(200) % 10, (np.arange(200) < 100).astype(float)
    scores = right if separated else np.ones(200)
    found = match_probability([scores], right, labels)
    assert np.isfinite(found).all()
    skill = brier_skill(found, right)
    assert skill > 0.99 if separated else skill == pytest.approx(0, abs=1e-6)
    assert brier_skill(found, np.ones(200)) is None


def test_bins_hold_as_many_queries_each() -> None:
    found = reliability(np.random.default_rng(5).random(1000), np.ones(1000), bins=7)
    assert found.counts.sum() == 1000 and np.ptp(found.counts) <= 1 and (np.diff(found.predicted) > 0).all()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: risk_coverage([1, 2], [1]), "one entry per query"),
        (lambda: auroc([1, 2], [True]), "one entry each"),
        (lambda: severity_correlation([[1.0, 2.0]]), "two levels or more"),
        (lambda: match_probability([[1.0, 2.0]], [0, 1], [3, 3]), "at least two classes"),
        (lambda: match_probability([[1.0, np.nan]], [0, 1], [3, 4]), "finite entries"),
    ],
)
def test_what_is_not_one_number_per_query_is_refused(call: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()  # type: ignore[operator]
