import json

import pytest

from benchmarks.report.study import read_studies
from benchmarks.report.summary import summarize
from benchmarks.report.tuned_runs import by_search
from benchmarks.report.verdicts import cautions, findings, longer_tuning, overview
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
        "p = 0.0312, Holm p = 0.0312; 6 seeds). Established at the 5 % level, with the exact test."
    )


def test_an_established_loss_is_said_as_plainly(canned):
    summary = summary_of(canned, [-1, -2, -3, -1, -2, -3])
    assert findings(summary)[0].verdict == "established loss"
    assert "2.00 points lower" in findings(summary)[0].sentence
    assert overview(summary)[0] == ("Of one comparison between a method and its baseline, 1 is an established loss.")


def test_five_seeds_decide_nothing_however_large_the_difference(canned):
    summary = summary_of(canned, [10, 11, 12, 11, 10])
    (finding,) = findings(summary)
    assert finding.verdict == "underpowered"
    assert "with 5 seeds p cannot fall below 0.0625, however large the difference" in finding.sentence
    assert "With 5 seeds nothing can be established here" in overview(summary)[1]
    assert "At least 6 seeds per comparison are needed" in overview(summary)[1]


def test_what_only_holm_rejects_is_nominally_better(canned):
    summary = summary_of(canned, [1, 2, 3, 1, 2, 3], losses=("triplet", "proxy_nca"))
    assert {finding.verdict for finding in findings(summary)} == {"nominally better"}
    assert "after Holm's correction for 2 comparisons it is not, nor could it be with 6 seeds" in (
        findings(summary)[0].sentence
    )
    assert "At least 7 seeds per comparison are needed" in overview(summary)[1]


def test_what_holm_puts_out_of_reach_is_said(canned):
    summary = summary_of(canned, [1, -1, 2, -2, 3, 3], losses=("triplet", "proxy_nca"))
    assert [finding.sentence.split(". ")[-1] for finding in findings(summary)] == [
        "Underpowered: with 6 seeds p cannot fall below 0.0625 after Holm's correction for 2 comparisons, "
        "however large the difference."
    ] * 2


def test_a_difference_within_the_noise_names_what_could_have_been_seen(canned):
    summary = summary_of(canned, [1, -1, 2, -2, 3, -3])
    (finding,) = findings(summary)
    assert finding.verdict == "not established"
    # 1.78 standard deviations of 2.366: with less, fewer than 4 in 5 samples of 6 have all six differences of one sign
    assert "A true difference of 4.21 points or more would have been established" in finding.sentence
    assert "true differences below 4.21 points are likely to be missed" in overview(summary)[-1]


def test_one_seed_allows_neither_an_interval_nor_a_test(canned):
    summary = summary_of(canned, [5])
    assert findings(summary)[0].sentence == (
        "With EE, the test MAP@R of Triplet is 5.00 points higher with one seed, which allows neither an interval nor "
        "a test."
    )
    assert "With 1 seed there is neither an interval nor a test" in overview(summary)[1]


def test_equal_runs_are_said_to_be_equal(canned):
    (finding,) = findings(summary_of(canned, [0, 0, 0, 0, 0, 0]))
    assert finding.verdict == "equivalent"
    assert finding.sentence == "With EE, the test MAP@R of Triplet is the same in every run."


IDLE = {"steps": 300, "active_steps": 0, "synthetic_per_step": 0.0}


def test_a_method_that_never_acted_gets_no_verdict_and_its_runs_are_named(canned):
    for seed in range(6):
        canned.write("triplet", seed=seed, map_at_r=0.5)
        acted = {} if seed else {"method_activity": IDLE}
        canned.write("triplet", "ee", seed=seed, map_at_r=0.5, **acted)
    summary = summarize(read_runs(canned.root))
    (finding,) = findings(summary)
    (idle,) = (run.name for run in summary.runs if run.inactive)
    assert finding.verdict == "no verdict"
    assert f"made no synthetic point in any step of {idle} (ee, seed 0, fold 0)" in finding.sentence
    assert "p =" not in finding.sentence and "1 has no verdict" in overview(summary)[0]


@pytest.mark.parametrize("method", ["none", "ee"])
def test_an_arm_that_validation_left_untrained_gets_no_verdict(canned, method):
    for seed in range(6):
        for arm, level in (("none", 0.5), ("ee", 0.6)):
            untrained = {"selection__validation__epoch": 0} if arm == method and seed == 3 else {}
            canned.write("triplet", arm, seed=seed, map_at_r=level + 0.001 * seed, **untrained)
    (finding,) = findings(summarize(read_runs(canned.root)))
    assert finding.verdict == "no verdict"
    assert "validation chose the untrained model (epoch 0) in" in finding.sentence
    assert f"({method}, seed 3, fold 0)" in finding.sentence


def test_a_method_whose_runs_are_its_baselines_bit_for_bit_gets_no_verdict(canned):
    for seed in range(6):
        history = json.loads((canned.write("triplet", seed=seed, map_at_r=0.5) / "result.json").read_text())["history"]
        canned.write("triplet", "margin", seed=seed, map_at_r=0.5, history=history)
    (finding,) = findings(summarize(read_runs(canned.root)))
    assert finding.verdict == "no verdict" and "so the method had no effect" in finding.sentence


def test_a_comparison_without_a_verdict_neither_gains_nor_helps_the_others(canned):
    gains = [1, 2, 3, 1, 2, 3, 1, 2]
    for seed, gain in enumerate(gains):
        for loss in ("triplet", "contrastive"):
            idle = {"method_activity": IDLE} if loss == "contrastive" else {}
            canned.write(loss, seed=seed, map_at_r=0.5)
            canned.write(loss, "ee", seed=seed, map_at_r=0.5 + gain / 100, **idle)
    contrastive, triplet = summarize(read_runs(canned.root)).comparisons
    assert (contrastive.judged, triplet.judged) == (False, True)
    assert triplet.holm_p == pytest.approx(2 * triplet.p) and contrastive.holm_p == 1


def test_rare_activity_is_a_caution(canned):
    canned.write("triplet")
    canned.write("triplet", "ee", method_activity={"steps": 300, "active_steps": 3, "synthetic_per_step": 0.1})
    assert any("EE acted in only 1.0" in caution for caution in cautions(summarize(read_runs(canned.root))))


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
        "Of 3 comparisons between a method and its baseline, 1 is an established gain, 1 is an established loss "
        "and 1 is equivalent."
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
    assert longer_tuning(summary.data_sets[0]) == [
        "Triplet, baseline: tuned with the methods' extra budget, MAP@R changes by +0.50 [0.50 to 0.50] points."
    ]


def test_more_trials_that_end_with_the_same_one_are_said_to(canned):
    study = canned.study()
    best = json.loads((study / "best.json").read_text())
    (study / "best.json").write_text(json.dumps({**best, "triplet/none+": best["triplet/none"]}))
    for method in ("none", "ee"):
        canned.tuned(study, method)
    summary = summarize(by_search(read_runs(canned.root), read_studies(canned.root)))
    assert "found the same trial" in longer_tuning(summary.data_sets[0])[0]
