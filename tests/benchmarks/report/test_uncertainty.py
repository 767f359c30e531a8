import csv
import io
import zipfile

import numpy as np
import pytest

from benchmarks.errors import UserError
from benchmarks.report.write import write_report
from benchmarks.runs.schema import UNCERTAINTY

QUERIES, KINDS = 300, ("blur", "noise")


def arrays(seed: int, knows: bool | None) -> dict[str, np.ndarray]:
    """Of a model whose uncertainty is that of its errors, is random, or does not exist; a fifth is wrong."""
    random = np.random.default_rng(seed)
    levels = np.array([0, *range(1, 6), *range(1, 6)])
    wrong = random.random((11, QUERIES)) < 0.2 + 0.05 * levels[:, None]
    noise = random.normal(size=(3, 11, QUERIES)).astype(np.float32)
    found = {
        "labels": np.arange(QUERIES) % 20,
        "kinds": np.array(["clean", *("blur",) * 5, *("noise",) * 5], dtype="S"),
        "levels": levels,
        "right": ~wrong,
        "distance": 1 + 0.2 * noise[0] + 0.2 * wrong,
        "length": 5 + noise[1],
    }
    if knows is not None:
        found["uncertainty"] = (wrong if knows else 0) + levels[:, None] + 0.01 * noise[2]
    return found


@pytest.fixture(scope="module", params=[True, False], ids=["knows", "does not know"])
def report(request, canned_in, tmp_path_factory):
    canned = canned_in(tmp_path_factory.mktemp("runs"))
    for method in ("none", "idml"):
        for seed in range(3):
            folder = canned.write("proxy_anchor", method, seed=seed)
            np.savez_compressed(folder / UNCERTAINTY, **arrays(seed, None if method == "none" else request.param))
            canned.reseal(folder)
    out = canned.root / "report"
    write_report(canned.root, out)
    return request.param, {path.name: path.read_text() for path in out.iterdir()}


def test_the_report_says_whether_the_uncertainty_tells_more_than_the_distance(report):
    knows, files = report
    assert "## Uncertainty" in files["report.md"] and 'id="uncertainty-1"' in files["report.html"]
    said = "the uncertainty tells more than the distance" if knows else "the uncertainty tells less than the distance"
    assert said in files["report.md"]
    rows = list(csv.DictReader(io.StringIO(files["uncertainty.csv"])))
    found = {(row["method"], row["score"]): row for row in rows if row["seed"] == "0"}
    assert {score for method, score in found if method == "none"} == {"length", "distance", "random"}
    assert {score for method, score in found if method == "idml"} == {
        "uncertainty", "length", "distance", "both", "random",
    }  # fmt: skip
    auroc = {key: float(row["auroc"]) for key, row in found.items()}
    assert auroc["idml", "uncertainty"] > 0.99 if knows else abs(auroc["idml", "uncertainty"] - 0.5) < 0.1
    assert 0.6 < auroc["idml", "distance"] < 0.9
    assert auroc["idml", "both"] >= auroc["idml", "distance"] - 0.05
    assert float(found["idml", "uncertainty"]["correlation_blur"]) > 0.8
    assert abs(float(found["idml", "length"]["correlation_noise"])) < 0.2
    assert found["idml", "random"]["correlation_blur"] == ""


def test_the_figures_are_risk_for_every_model_and_more_where_there_is_an_uncertainty(report):
    _, files = report
    page = files["report.html"]
    assert page.count('aria-label="Risk by coverage') == 2
    assert page.count('aria-label="Reliability of the probability of a match') == 1
    assert page.count('aria-label="Mean scores by level of') == len(KINDS)


def test_a_report_on_runs_without_it_has_no_such_section(canned):
    canned.write("triplet", "none")
    canned.write("triplet", "ee")
    out = canned.root / "report"
    write_report(canned.root, out)
    assert "Uncertainty" not in (out / "report.md").read_text() and not (out / "uncertainty.csv").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"right": np.ones((2, QUERIES), dtype=bool)}, "right is not one finite number per condition and query"),
        ({"distance": np.full((11, QUERIES), np.nan)}, "distance is not one finite number"),
        ({"labels": np.zeros(QUERIES)}, "queries of two classes"),
        ({"kinds": np.array(["blur"] * 11, dtype="S")}, "first as they are"),
    ],
)
def test_a_damaged_file_is_named(canned, change, sentence):
    folder = canned.write("triplet", "none")
    np.savez_compressed(folder / UNCERTAINTY, **{**arrays(0, None), **change})
    canned.reseal(folder)
    with pytest.raises(UserError, match=f"{UNCERTAINTY}: .*{sentence}"):
        write_report(canned.root, canned.root / "report")
    assert zipfile.is_zipfile(folder / UNCERTAINTY)
