"""The report on a set of run directories that is beside this file.

After an intended change, write the expected files again and read their difference before committing it:

    REPORT_GOLDEN=write pytest tests/benchmarks/report/test_golden.py

The run directories themselves are written by the same command if ``golden/runs`` is missing.
"""

import os
import re
from pathlib import Path

import pytest
from canned_runs import ACTIVITY

from benchmarks.report.write import write_report

GOLDEN = Path(__file__).with_name("golden")
RUNS = GOLDEN / "runs"
NAMES = ["report.md", "tables.tex", "results.csv", "comparisons.csv", "curves.csv"]
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.]*[A-Za-z_])")


def make_runs(canned_in) -> None:
    """A tuned study on glyphs with two folds, whose test set was scored once; on emoji an untuned comparison with a
    control, and the raw features."""
    canned = canned_in(RUNS, picture_size=8, queries=6)
    study = canned.study()
    for method, gain in (("none", 0.0), ("ee", 0.015), ("none+", 0.004)):
        for seed in range(2):
            level = 0.55 + gain + 0.006 * seed + 0.002 * (seed * gain > 0)
            levels = [level + (0.01 + 0.2 * gain) * fold for fold in range(2)]
            runs = [canned.tuned(study, method, fold, seed, map_at_r=levels[fold]) for fold in range(2)]
            canned.together(runs, level + 0.03)
    share = {"method_activity": {**ACTIVITY, "synthetic_share": 0.62}, "controls": {"ee_random": "the choice"}}
    for method, gain, more in (("none", 0.0, {}), ("ee", -0.01, share), ("ee_random", 0.003, {})):
        for seed in range(2):
            level = 0.4 + gain * (1 + 0.2 * seed) + 0.01 * seed
            canned.write("triplet", method, seed=seed, map_at_r=level, data__name="emoji", **more)
    for standardized in (False, True):
        canned.raw(standardized, map_at_r=0.38 + 0.02 * standardized, validation=0.5, data__name="emoji")


@pytest.fixture(scope="module")
def written(canned_in, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    if os.environ.get("REPORT_GOLDEN") == "write":
        if not RUNS.exists():
            make_runs(canned_in)
        write_report(RUNS, GOLDEN)
        (GOLDEN / "report.html").unlink()
    return {path.name: path.read_text() for path in write_report(RUNS, out)}


@pytest.mark.parametrize("name", NAMES)
def test_the_report_is_the_recorded_one(written, name):
    """Numbers are compared as numbers: the last digit shown may differ between processors and versions of scipy."""
    expected, found = (GOLDEN / name).read_text(), written[name]
    assert NUMBER.sub("#", found) == NUMBER.sub("#", expected)
    for ours, theirs in zip(NUMBER.findall(found), NUMBER.findall(expected), strict=True):
        last = 10.0 ** -len(theirs.partition("e")[0].partition(".")[2]) if "." in theirs else 0
        assert abs(float(ours) - float(theirs)) <= 1.001 * last, (ours, theirs)


def test_the_set_shows_every_section(written):
    page = written["report.html"]
    for section in ("found", "accuracy-1", "accuracy-2", "learning-1", "selection-1", "cost-1", "tuning-1", "gallery",
                    "reading", "runs"):  # fmt: skip
        assert f'<section id="{section}">' in page and f'href="#{section}"' in page
    assert "Ensembles of the folds" in page and "<small>oracle</small>" in page
    assert "Triplet, baseline: tuned with the methods&#39; extra budget, MAP@R changes by" in page
    assert "so there are no oracles to compare with" in page
