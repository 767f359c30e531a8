import json

import pytest

from benchmarks.report.study import read_studies
from benchmarks.report.summary import summarize
from benchmarks.report.tuned_runs import by_search
from benchmarks.report.verdicts import cautions, controls, findings, overview
from benchmarks.runs.reader import read_runs


def summary_of(canned, gains, losses=("triplet",)):
    """A summary whose every loss has one method with these paired differences, in points."""
    for loss in losses:
        for seed, gain in enumerate(gains):
            canned.write(loss, seed=seed, map_at_r=0.5)
            canned.write(loss, "ee", seed=seed, map_at_r=0.5 + gain / 100)
    return summarize(read_runs(canned.root))


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_an_established_gain_is_said_with_its_numbers(canned):
    (finding,) = findings(summary_of(canned, [1, 2, 3, 1, 2, 3]))
    assert finding.verdict == "established gain"
    assert plain(finding.sentence) == (
        "With EE, the test MAP@R of Triplet is 2.00 points higher (difference +2.00, 95 % interval 1.06 to 2.94; "
        "p = 0.0312, Holm 0.0312; 6 seeds). Established at the 5 % level, with the exact test."
    )


def test_an_established_loss_is_said_as_plainly(canned):
    summary = summary_of(canned, [-1, -2, -3, -1, -2, -3])
    assert findings(summary)[0].verdict == "established loss"
    assert "2.00 points lower" in findings(summary)[0].sentence
    assert overview(summary)[0] == ("Of one comparison between a method and its baseline, 1 is an established loss.")


def test_five_seeds_decide_nothing_however_large_the_difference(canned):
    summary = summary_of(canned, [10, 11, 12, 11, 10])
    (finding,) = findings(summary)
    assert finding.verdict == "cannot be decided"
    assert "with 5 seeds p cannot fall below 0.0625, however large the difference" in finding.sentence
    assert "With 5 seeds nothing can be established here" in overview(summary)[1]
    assert "It takes 6 seeds" in overview(summary)[1]


def test_what_holm_takes_away_is_a_hint(canned):
    summary = summary_of(canned, [1, 2, 3, 1, 2, 3], losses=("triplet", "proxy_nca"))
    assert {finding.verdict for finding in findings(summary)} == {"hint"}
    assert "after Holm's correction for 2 comparisons it is not, nor could it be with 6 seeds" in (
        findings(summary)[0].sentence
    )
    assert "It takes 7 seeds a comparison" in overview(summary)[1]


def test_what_holm_puts_out_of_reach_is_said(canned):
    summary = summary_of(canned, [1, -1, 2, -2, 3, 3], losses=("triplet", "proxy_nca"))
    assert [finding.sentence.split(". ")[-1] for finding in findings(summary)] == [
        "Cannot be decided: with 6 seeds p cannot fall below 0.0625 after Holm's correction for 2 comparisons, "
        "however large the difference."
    ] * 2


def test_a_difference_within_the_noise_names_what_could_have_been_seen(canned):
    summary = summary_of(canned, [1, -1, 2, -2, 3, -3])
    (finding,) = findings(summary)
    assert finding.verdict == "not established"
    # 1.78 standard deviations of 2.366: with less, fewer than 4 in 5 samples of 6 have all six differences of one sign
    sentence = (
        "A true difference of 4.21 points or more would probably have been, with the exact test; a smaller one may"
    )
    assert sentence in finding.sentence
    assert overview(summary)[-1].startswith("A difference below 4.21 points is too small")


def test_one_seed_is_said_to_decide_nothing(canned):
    summary = summary_of(canned, [5])
    assert findings(summary)[0].sentence == (
        "With EE, the test MAP@R of Triplet is 5.00 points higher in the one seed there is. "
        "One seed has no interval and decides nothing."
    )
    assert "With 1 seed there is neither an interval nor a test" in overview(summary)[1]


def test_equal_runs_are_said_to_be_equal(canned):
    (finding,) = findings(summary_of(canned, [0, 0, 0, 0, 0, 0]))
    assert finding.verdict == "equivalent"
    assert finding.sentence == "With EE, the test MAP@R of Triplet is the same in every run."


def test_baseline_losses_alone_are_not_compared(canned):
    canned.write("triplet")
    summary = summarize(read_runs(canned.root))
    assert findings(summary) == []
    assert "nothing is compared" in overview(summary)[0]


def test_outcomes_are_counted(canned):
    for loss, gain in (("triplet", 2), ("proxy_nca", -2), ("contrastive", 0)):
        for seed in range(8):
            canned.write(loss, seed=seed, map_at_r=0.5)
            noise = 0.001 * (-1) ** seed
            canned.write(loss, "ee", seed=seed, map_at_r=0.5 + gain / 100 + noise)
    assert overview(summarize(read_runs(canned.root)))[0] == (
        "Of 3 comparisons between a method and its baseline, 1 is an established gain, 1 is an established loss, "
        "1 is equivalent."
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"commit": "1" * 40}, "The runs come from 2 commits"),
        ({"cpu": "another CPU"}, "The runs come from 2 CPUs"),
        ({"dirty": True}, "uncommitted changes"),
        ({"packages": {"numpy": "1.0"}}, "different package versions"),
    ],
)
def test_runs_of_different_origin_are_pointed_out(canned, changes, sentence):
    canned.write("triplet", seed=0)
    folder = canned.write("triplet", seed=1)
    environment = json.loads((folder / "environment.json").read_text())
    (folder / "environment.json").write_text(json.dumps({**environment, **changes}))
    canned.reseal(folder)
    assert any(sentence in caution for caution in cautions(summarize(read_runs(canned.root))))


def test_costs_of_different_devices_are_pointed_out(canned):
    canned.write("triplet", seed=0)
    canned.write("triplet", seed=1, cost__device="cuda")
    assert any("do not compare" in caution for caution in cautions(summarize(read_runs(canned.root))))


def test_a_baseline_loss_that_was_tuned_longer_is_a_control_and_not_one_of_the_comparisons(canned):
    study = canned.study()
    for method, level in (("none", 0.5), ("ee", 0.52), ("none+", 0.505)):
        for seed in range(2):
            canned.tuned(study, method, seed=seed, map_at_r=level + 0.001 * seed)
    summary = summarize(by_search(read_runs(canned.root), read_studies(canned.root)))
    assert [comparison.method.method for comparison in summary.comparisons] == ["ee"]
    assert summary.comparisons[0].against_extra.mean == pytest.approx(1.5)
    assert controls(summary.tables[0]) == [
        "Triplet, baseline: tuned with the methods' extra budget, MAP@R changes by +0.50 [0.50 to 0.50] points."
    ]


def test_more_trials_that_end_with_the_same_one_are_said_to(canned):
    study = canned.study()
    best = json.loads((study / "best.json").read_text())
    (study / "best.json").write_text(json.dumps({**best, "triplet/none+": best["triplet/none"]}))
    for method in ("none", "ee"):
        canned.tuned(study, method)
    summary = summarize(by_search(read_runs(canned.root), read_studies(canned.root)))
    assert "ended with the same trial" in controls(summary.tables[0])[0]
